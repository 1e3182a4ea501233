//! The declared state, and where it is written.

use std::sync::Arc;

use crate::{
    cluster::{ObjectRef, Snapshot, manifests::Manifests},
    model::{FieldPath, PolicyRef},
    policy::Engine,
};

/// The declared state, and where it is written.
#[derive(Debug)]
pub struct DeclaredState {
    /// The objects, those that can't be read, and the place of each.
    pub manifests: Manifests,
    /// The policies, compiled.
    pub engine: Arc<Engine>,
}

impl DeclaredState {
    /// Compiles what was read.
    #[must_use]
    pub fn new(manifests: Manifests) -> Self {
        let engine = Engine::compile(&manifests.snapshot());
        Self { manifests, engine }
    }

    /// The objects.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        self.engine.snapshot()
    }

    /// `file:line` of a field of a policy; `None` where it is written in no file.
    #[must_use]
    pub fn place(&self, policy: &PolicyRef, path: &FieldPath) -> Option<String> {
        let origin = self.manifests.origin(&ObjectRef::Policy(policy.clone()))?;
        Some(format!("{}:{}", origin.file, origin.line_of(path)))
    }
}
