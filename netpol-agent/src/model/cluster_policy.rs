//! The cluster-wide policies of `policy.networking.k8s.io`: one type for all three kinds.

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{LabelSelector, PolicyDirection, PolicyRef, network_policy::Port};

/// A ClusterNetworkPolicy, an AdminNetworkPolicy or a BaselineAdminNetworkPolicy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterPolicy {
    /// The kind and name.
    pub id: PolicyRef,
    /// Whether it is evaluated before the NetworkPolicies or after them.
    pub tier: Tier,
    /// The priority in the tier, 0 to 1000. The lowest number is evaluated first.
    pub priority: u16,
    /// The pods that it selects.
    pub subject: PodSet,
    /// Rules for connections to those pods, in order.
    pub ingress: Vec<TierRule>,
    /// Rules for connections from those pods, in order.
    pub egress: Vec<TierRule>,
}

/// The tiers before and after the NetworkPolicies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Tier {
    /// Evaluated before the NetworkPolicies, which can't override it.
    Admin,
    /// Evaluated after the NetworkPolicies, for pods that no NetworkPolicy isolates.
    Baseline,
}

/// Pods of some namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PodSet {
    /// Selects the namespaces.
    pub namespaces: LabelSelector,
    /// Selects pods in these namespaces.
    pub pods: LabelSelector,
}

/// A rule: the connections that it matches, and its action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierRule {
    /// The optional name.
    pub name: Option<Box<str>>,
    /// What the rule does with the connections that it matches.
    pub action: Action,
    /// The peers. The rule matches if any of them does.
    pub peers: Vec<TierPeer>,
    /// The ports. The rule matches if any of them does; `None` matches all protocols and ports.
    pub ports: Option<Vec<TierPort>>,
}

/// What a rule does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Action {
    /// Allows it; later tiers are not evaluated (v1alpha2).
    Accept,
    /// Allows it; later tiers are not evaluated (v1alpha1).
    Allow,
    /// Denies it; later tiers are not evaluated.
    Deny,
    /// Skips the rest of the tier: the next tier decides.
    Pass,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept => "Accept",
            Self::Allow => "Allow",
            Self::Deny => "Deny",
            Self::Pass => "Pass",
        })
    }
}

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TierPeer {
    /// Pods.
    Pods(PodSet),
    /// CIDR ranges, which may include pod addresses. Egress only.
    Networks(Vec<IpNet>),
    /// Nodes that the labels select; they are matched by their addresses. Egress only.
    Nodes(LabelSelector),
    /// Domain names, matched by the addresses they resolve to. Egress of `Accept` rules only.
    DomainNames(Vec<Box<str>>),
    /// A kind of peer that this version does not know. It fails closed: a rule that accepts matches nothing, any other
    /// rule denies everything.
    Unknown,
}

/// A port of a cluster-wide rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TierPort {
    /// A protocol and port number.
    Port(Port),
    /// A container port of the destination pod, by name, in any protocol.
    Named(Box<str>),
}

impl ClusterPolicy {
    /// Returns the rules of one direction.
    #[must_use]
    pub fn rules(&self, direction: PolicyDirection) -> &[TierRule] {
        match direction {
            PolicyDirection::Ingress => &self.ingress,
            PolicyDirection::Egress => &self.egress,
        }
    }
}
