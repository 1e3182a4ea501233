//! What the declared policies say should become of a connection.

use std::sync::Arc;

use serde::Serialize;

use super::{PolicyDirection, PolicyRef, RuleRef};

/// The verdict over both directions: a connection is allowed only where the egress of its source and the ingress of
/// its destination are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// No direction denies it. The rules that admit it; empty where no policy isolates either side.
    Allowed {
        /// The rules that admit it.
        by: Vec<RuleRef>,
    },
    /// At least one direction denies it.
    Denied {
        /// Each direction that does, egress first.
        by: Vec<Denial>,
    },
    /// No policy speaks of it, and no finding may come of it.
    NotApplicable(NotApplicable),
    /// What is known does not decide it.
    Undecidable(Undecidable),
}

impl Expected {
    /// Whether it is denied by NetworkPolicies, which isolate a pod from its first moment; what a cluster-wide policy
    /// denies, it may deny by labels that have to become known first.
    #[must_use]
    pub fn is_isolation(&self) -> bool {
        let by_network_policies = |denial: &Denial| denial.policies.iter().all(|id| id.namespace.is_some());
        matches!(self, Self::Denied { by } if by.iter().any(by_network_policies))
    }
}

/// One direction that denies a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Denial {
    /// Whose side.
    pub direction: PolicyDirection,
    /// The pod that the policies select, `namespace/name`.
    pub subject: Arc<str>,
    /// The policies that isolate the subject, or the one whose rule denies.
    pub policies: Vec<PolicyRef>,
}

/// Why no policy speaks of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NotApplicable {
    /// Neither end is a pod.
    NoPod,
    /// A pod in its node's network namespace: the traffic is the node's.
    HostNetwork,
    /// A pod talks to itself.
    SelfTraffic,
    /// A node talks to a pod that runs on it (kubelet probes).
    NodeTraffic,
}

/// Why a connection can't be judged.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Undecidable {
    /// The address of a pod that the API has not told of: it is behind a pod's veth, or a node gives it to its pods.
    UnknownAddress,
    /// The API leaves the outcome to the implementation; the note says what.
    Undefined(&'static str),
    /// A policy's peer is a domain name, and names are not resolved.
    DomainName,
    /// Packets carry an address that is not their pod's.
    SpoofedSource,
    /// Cluster state or policies changed while the connection was made.
    RecentChange,
    /// The connection was open before the agent or the policy was.
    PreExisting,
    /// Records were lost while the connection was made.
    RecordsLost,
    /// A reset or ICMP error came from a place that this node does not see.
    UnseenOrigin,
    /// Seen before a Service's address was translated: who answers is not known.
    ServiceAddress,
    /// Objects that the verdict depends on are not known, or were last known too long ago.
    Stale,
}
