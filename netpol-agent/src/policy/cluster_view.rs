//! The declared state of the cluster, and how well it is known, as one value.

use std::sync::Arc;

use super::Engine;
use crate::cluster::{Snapshot, SyncStatus};

/// What is declared, compiled, together with how well each kind of object was known when it was. One task publishes it, so
/// that no verdict rests on a state whose gaps are already forgotten, or on a new one whose gaps are not yet known.
#[derive(Clone, Debug)]
pub struct ClusterView {
    /// The policies, compiled with the snapshot that they came with.
    pub engine: Arc<Engine>,
    /// How well each kind of object is known.
    pub sync: SyncStatus,
}

impl ClusterView {
    /// A view of nothing: no kind of object has been listed yet.
    #[must_use]
    pub fn empty() -> Self {
        Self { engine: Engine::compile(&Arc::new(Snapshot::empty())), sync: SyncStatus::default() }
    }

    /// Whether there is a state to judge by: all kinds of objects have been listed once, or can't be had.
    #[must_use]
    pub fn has_state(&self) -> bool {
        self.engine.snapshot().generation() > 0
    }
}
