//! One direction of a connection, judged.

use std::{fmt, sync::Arc};

use serde::Serialize;

use super::{
    caveat::Caveats,
    compiled_pod_class::CompiledDirection,
    rule::{CompiledRule, CompiledTierRule, Match, Mismatch, Traffic},
};
use crate::model::{NetworkPolicy, Pod, PolicyDirection};

/// What decided a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum DecidedBy {
    /// That side is no pod, so that no policy speaks of it.
    #[serde(rename = "no-subject")]
    NoSubject,
    /// That side is a pod in its node's network, which no policy selects.
    #[serde(rename = "host-network")]
    HostNetwork,
    /// A pod talks to itself.
    #[serde(rename = "self")]
    SelfTraffic,
    /// The pod's own node talks to it.
    #[serde(rename = "local-node")]
    LocalNode,
    /// A rule of the Admin tier.
    Admin,
    /// The NetworkPolicies that isolate the pod.
    NetworkPolicy,
    /// A rule of the Baseline tier.
    Baseline,
    /// No policy: everything is allowed.
    #[serde(rename = "default")]
    Default,
}

impl DecidedBy {
    /// Whether a policy did.
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

/// One direction of a connection, judged.
#[derive(Clone, Copy, Debug)]
pub struct DirectionVerdict<'e> {
    /// Which direction.
    pub direction: PolicyDirection,
    /// Whether it admits the connection.
    pub allowed: bool,
    /// What decided.
    pub decided_by: DecidedBy,
    /// The pod whose policies were asked; `None` where that side is no pod.
    pub subject: Option<&'e Arc<Pod>>,
    /// The rule of a tier that decided.
    pub tier_rule: Option<&'e CompiledTierRule>,
    /// The rule of the Admin tier (of the Baseline tier, where that decided nothing) that passed the decision on.
    pub passed_by: Option<&'e CompiledTierRule>,
    /// What else there is to say about it.
    pub(super) caveats: Caveats,
    /// Where NetworkPolicies decided: what was asked of them.
    pub(super) network_policies: Option<(&'e CompiledDirection, Traffic<'e>)>,
}

impl<'e> DirectionVerdict<'e> {
    /// A direction that is admitted without any policy being asked.
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

    /// The NetworkPolicies that isolate the subject, where those decided; by name.
    #[must_use]
    pub fn isolating(&self) -> &'e [Arc<NetworkPolicy>] {
        self.network_policies.map_or(&[], |(side, _)| &side.isolating)
    }

    /// The rules of NetworkPolicies that admit the connection, where those decided; by policy and index. None of them
    /// means denial by default.
    pub fn allowing(&self) -> impl Iterator<Item = &'e CompiledRule> {
        self.network_policies.into_iter().flat_map(|(side, traffic)| {
            let admits = move |rule: &&'e CompiledRule| rule.matches(&traffic) != Match::No;
            side.rules.iter().filter(admits)
        })
    }

    /// The rules of NetworkPolicies that do not admit the connection, where those decided, and why not.
    pub fn rejecting(&self) -> impl Iterator<Item = (&'e CompiledRule, Mismatch)> {
        self.network_policies.into_iter().flat_map(|(side, traffic)| {
            side.rules.iter().filter_map(move |rule| rule.mismatch(&traffic).map(|why| (rule, why)))
        })
    }
}
