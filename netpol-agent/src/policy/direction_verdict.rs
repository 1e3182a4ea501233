//! The verdict for one direction (ingress or egress) of a connection.
//!
//! It has the outcome, what decided it, and the policies and rules that are the reason.

use std::{fmt, sync::Arc};

use serde::Serialize;

use super::{
    caveat::Caveats,
    compiled_pod_class::CompiledDirection,
    rule::{CompiledRule, CompiledTierRule, Match, Mismatch, Traffic},
};
use crate::model::{NetworkPolicy, Pod, PolicyDirection};

/// What decided the verdict for a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum DecidedBy {
    /// This side of the connection is not a pod, so no policy applies to it.
    #[serde(rename = "no-subject")]
    NoSubject,
    /// This side of the connection is a host-network pod, which no policy selects.
    #[serde(rename = "host-network")]
    HostNetwork,
    /// The traffic is from a pod to itself.
    #[serde(rename = "self")]
    SelfTraffic,
    /// The traffic is from the pod's own node.
    #[serde(rename = "local-node")]
    LocalNode,
    /// A rule of the Admin tier.
    Admin,
    /// The NetworkPolicies that isolate the pod in this direction.
    NetworkPolicy,
    /// A rule of the Baseline tier.
    Baseline,
    /// No policy decided. Everything is allowed.
    #[serde(rename = "default")]
    Default,
}

impl DecidedBy {
    /// Returns true if a policy decided.
    #[must_use]
    pub fn is_policy(self) -> bool {
        matches!(self, Self::Admin | Self::NetworkPolicy | Self::Baseline)
    }
}

impl fmt::Display for DecidedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NoSubject => "no-subject",
            Self::HostNetwork => "host-network",
            Self::SelfTraffic => "self",
            Self::LocalNode => "local-node",
            Self::Admin => "Admin",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::Baseline => "Baseline",
            Self::Default => "default",
        })
    }
}

/// The verdict for one direction of a connection.
#[derive(Clone, Copy, Debug)]
pub struct DirectionVerdict<'e> {
    /// The direction.
    pub direction: PolicyDirection,
    /// True if the connection is allowed in this direction.
    pub allowed: bool,
    /// What decided the verdict.
    pub decided_by: DecidedBy,
    /// The pod whose policies were evaluated. `None` if this side of the connection is not a pod.
    pub subject: Option<&'e Arc<Pod>>,
    /// The rule of the Admin or Baseline tier that decided, if any.
    pub tier_rule: Option<&'e CompiledTierRule>,
    /// The rule with action `Pass` that matched: of the Admin tier, or else of the Baseline tier.
    pub passed_by: Option<&'e CompiledTierRule>,
    /// The caveats of this direction.
    pub(super) caveats: Caveats,
    /// The rules and the traffic that were evaluated, if NetworkPolicies decided.
    pub(super) network_policies: Option<(&'e CompiledDirection, Traffic<'e>)>,
}

impl<'e> DirectionVerdict<'e> {
    /// Creates a verdict that allows the connection without evaluating any policy.
    pub(super) fn exempt(
        direction: PolicyDirection,
        decided_by: DecidedBy,
        subject: Option<&'e Arc<Pod>>,
        caveats: Caveats,
    ) -> Self {
        Self {
            direction,
            allowed: true,
            decided_by,
            subject,
            tier_rule: None,
            passed_by: None,
            caveats,
            network_policies: None,
        }
    }

    /// The NetworkPolicies that isolate the subject, sorted by name. Empty if NetworkPolicies did not decide.
    #[must_use]
    pub fn isolating(&self) -> &'e [Arc<NetworkPolicy>] {
        self.network_policies.map_or(&[], |(compiled, _)| &compiled.isolating)
    }

    /// The NetworkPolicy rules that allow the connection, sorted by policy and index. If NetworkPolicies decided and
    /// no rule allows the connection, it is denied by default. Empty if NetworkPolicies did not decide.
    pub fn allowing(&self) -> impl Iterator<Item = &'e CompiledRule> {
        self.network_policies.into_iter().flat_map(|(compiled, traffic)| {
            let admits = move |rule: &&'e CompiledRule| rule.matches(&traffic) != Match::No;
            compiled.rules.iter().filter(admits)
        })
    }

    /// The NetworkPolicy rules that do not match the connection, with the reason. Empty if NetworkPolicies did not
    /// decide.
    pub fn rejecting(&self) -> impl Iterator<Item = (&'e CompiledRule, Mismatch)> {
        self.network_policies.into_iter().flat_map(|(compiled, traffic)| {
            compiled.rules.iter().filter_map(move |rule| rule.mismatch(&traffic).map(|why| (rule, why)))
        })
    }
}
