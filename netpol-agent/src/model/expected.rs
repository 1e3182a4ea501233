//! The expected result of a connection, by the declared policies.

use std::sync::Arc;

use serde::Serialize;

use super::{PolicyDirection, PolicyRef, RuleRef};

/// The verdict on both directions. A connection is allowed only if both the egress of its source and the ingress of its
/// destination allow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// No direction denies the connection.
    Allowed {
        /// The rules that allow it; empty if no policy isolates either pod.
        by: Vec<RuleRef>,
    },
    /// At least one direction denies the connection.
    Denied {
        /// The directions that deny it, egress first.
        by: Vec<Denial>,
    },
    /// Policies do not apply to the connection, so it can't cause a finding.
    NotApplicable(NotApplicable),
    /// The agent does not know enough to decide.
    Undecidable(Undecidable),
}

impl Expected {
    /// Returns whether NetworkPolicies deny the connection. They isolate a pod from its first moment. A cluster-wide
    /// policy may deny by labels, which enforcers have to learn first.
    #[must_use]
    pub fn is_isolation(&self) -> bool {
        let by_network_policies = |denial: &Denial| denial.policies.iter().all(|id| id.namespace.is_some());
        matches!(self, Self::Denied { by } if by.iter().any(by_network_policies))
    }
}

/// One direction that denies a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Denial {
    /// The direction.
    pub direction: PolicyDirection,
    /// The pod that the policies select, `namespace/name`.
    pub subject: Arc<str>,
    /// The policies that isolate the subject, or the one whose rule denies.
    pub policies: Vec<PolicyRef>,
}

/// Why policies do not apply to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NotApplicable {
    /// Neither the source nor the destination is a pod.
    NoPod,
    /// A pod uses the host network: its traffic is the node's.
    HostNetwork,
    /// A pod connects to itself.
    SelfTraffic,
    /// A node connects to a pod that runs on it (kubelet probes).
    NodeTraffic,
}

/// Why a connection can't be judged.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Undecidable {
    /// The address belongs to a pod that the API has not reported: it is behind a pod's interface, or in a node's pod
    /// CIDR.
    UnknownAddress,
    /// The API leaves the result to the implementation; the note says what.
    Undefined(&'static str),
    /// A peer of a policy is a domain name. The agent does not resolve names.
    DomainName,
    /// The packets have a source address that does not belong to their pod.
    SpoofedSource,
    /// The cluster state or the policies changed around the time of the connection.
    RecentChange,
    /// The connection was open before the agent started or the policy was created.
    PreExisting,
    /// Records were lost during the connection attempt.
    RecordsLost,
    /// An RST or ICMP error came from a place that this node does not see.
    UnseenOrigin,
    /// The packet was seen before a Service's address was translated: the endpoint is not known.
    ServiceAddress,
    /// The verdict depends on objects that are not known, or whose state is too old.
    Stale,
}
