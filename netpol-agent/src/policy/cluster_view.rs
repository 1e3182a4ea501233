//! The declared state of the cluster and its sync status, as one value.

use std::sync::Arc;

use super::Engine;
use crate::cluster::{Snapshot, SyncStatus};

/// The compiled policies, together with the sync status of each kind of object at the time of compilation.
///
/// One task publishes both as one value. So no verdict combines an old state with a newer sync status, or a new state
/// with an older one.
#[derive(Clone, Debug)]
pub struct ClusterView {
    /// The compiled policies, with the snapshot that they were compiled from.
    pub engine: Arc<Engine>,
    /// The sync status of each kind of object.
    pub sync: SyncStatus,
}

impl ClusterView {
    /// Creates an empty view: no kind of object has been listed yet.
    #[must_use]
    pub fn empty() -> Self {
        Self { engine: Engine::compile(&Arc::new(Snapshot::empty())), sync: SyncStatus::default() }
    }

    /// Returns true if the view can be evaluated: each kind of object has been listed once, or can't be listed.
    #[must_use]
    pub fn has_state(&self) -> bool {
        self.engine.snapshot().generation() > 0
    }
}
