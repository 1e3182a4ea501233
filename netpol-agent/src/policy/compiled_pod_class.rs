//! All that policies say of one class of pods.

use std::{cmp::Ordering, sync::Arc};

use smallvec::SmallVec;

use super::{
    peers::PeerId,
    rule::{CompiledRule, CompiledTierRule},
};
use crate::model::{NetworkPolicy, PodClass, PolicyDirection};

/// All that policies say of the pods of one class.
#[derive(Debug)]
pub(super) struct CompiledPodClass {
    pub(super) class: Arc<PodClass>,
    /// The sets of peers that they are in, sorted.
    pub(super) sets: SmallVec<[PeerId; 8]>,
    pub(super) ingress: Arc<CompiledDirection>,
    pub(super) egress: Arc<CompiledDirection>,
}

/// What concerns them in one direction. The rules are copies in one piece: walking along them is what takes time.
#[derive(Debug, Default)]
pub(super) struct CompiledDirection {
    /// In the order of evaluation.
    pub(super) admin: Box<[CompiledTierRule]>,
    /// The policies that isolate them, by name.
    pub(super) isolating: Box<[Arc<NetworkPolicy>]>,
    /// All rules of those, in their order.
    pub(super) rules: Box<[CompiledRule]>,
    /// In the order of evaluation.
    pub(super) baseline: Box<[CompiledTierRule]>,
}

impl CompiledPodClass {
    pub(super) fn side(&self, direction: PolicyDirection) -> &CompiledDirection {
        match direction {
            PolicyDirection::Ingress => &self.ingress,
            PolicyDirection::Egress => &self.egress,
        }
    }
}

/// The order of evaluation in a tier. The API leaves it open between equal priorities; the name makes it definite.
pub(super) fn by_priority(a: &CompiledTierRule, b: &CompiledTierRule) -> Ordering {
    (a.policy.priority, &a.policy.id, a.index).cmp(&(b.policy.priority, &b.policy.id, b.index))
}
