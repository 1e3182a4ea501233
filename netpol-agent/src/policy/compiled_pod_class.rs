//! The compiled policies of one pod class: the rules that apply to its pods, and the peer sets that contain them.
//!
//! The engine iterates over these rules to evaluate a connection of any pod of the class.

use std::{cmp::Ordering, sync::Arc};

use smallvec::SmallVec;

use super::{
    peers::PeerId,
    rule::{CompiledRule, CompiledTierRule},
};
use crate::model::{NetworkPolicy, PodClass, PolicyDirection};

/// The compiled policies of one pod class.
#[derive(Debug)]
pub(super) struct CompiledPodClass {
    pub(super) class: Arc<PodClass>,
    /// The peer sets that contain the class's pods, sorted.
    pub(super) sets: SmallVec<[PeerId; 8]>,
    pub(super) ingress: Arc<CompiledDirection>,
    pub(super) egress: Arc<CompiledDirection>,
}

/// The rules that apply to a pod class in one direction. The rules are copied into contiguous memory, because
/// iterating over them dominates the cost of an evaluation.
#[derive(Debug, Default)]
pub(super) struct CompiledDirection {
    /// The rules of the Admin tier, in the order of evaluation.
    pub(super) admin: Box<[CompiledTierRule]>,
    /// The NetworkPolicies that isolate the pods, sorted by name.
    pub(super) isolating: Box<[Arc<NetworkPolicy>]>,
    /// All rules of the isolating policies, in the order of the policies.
    pub(super) rules: Box<[CompiledRule]>,
    /// The rules of the Baseline tier, in the order of evaluation.
    pub(super) baseline: Box<[CompiledTierRule]>,
}

impl CompiledPodClass {
    pub(super) fn direction(&self, direction: PolicyDirection) -> &CompiledDirection {
        match direction {
            PolicyDirection::Ingress => &self.ingress,
            PolicyDirection::Egress => &self.egress,
        }
    }
}

/// The order of evaluation in a tier. The API does not define the order of policies with equal priority; here the name
/// decides.
pub(super) fn by_priority(a: &CompiledTierRule, b: &CompiledTierRule) -> Ordering {
    (a.policy.priority, &a.policy.id, a.index).cmp(&(b.policy.priority, &b.policy.id, b.index))
}
