//! The cluster-wide policies of `policy.networking.k8s.io`, all kinds in one shape.

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{LabelSelector, PolicyDirection, PolicyRef, network_policy::Port};

/// A ClusterNetworkPolicy, an AdminNetworkPolicy or a BaselineAdminNetworkPolicy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterPolicy {
    /// Its kind and name.
    pub id: PolicyRef,
    /// Whether it comes before the NetworkPolicies or after them.
    pub tier: Tier,
    /// Its place in the tier, 0 to 1000, lowest first.
    pub priority: u16,
    /// The pods it speaks of.
    pub subject: PodSet,
    /// Rules for what reaches those pods, in order.
    pub ingress: Vec<TierRule>,
    /// Rules for what those pods reach, in order.
    pub egress: Vec<TierRule>,
}

/// The tiers around the NetworkPolicies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Tier {
    /// Before the NetworkPolicies: nobody overrides it.
    Admin,
    /// After them: for pods that no NetworkPolicy isolates.
    Baseline,
}

/// Pods of some namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PodSet {
    /// Which namespaces.
    pub namespaces: LabelSelector,
    /// Which of their pods.
    pub pods: LabelSelector,
}

/// One rule: what becomes of the connections that it matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierRule {
    /// Its optional name.
    pub name: Option<Box<str>>,
    /// What becomes of them.
    pub action: Action,
    /// The other end: any of these.
    pub peers: Vec<TierPeer>,
    /// Any of these; `None` for all protocols and ports.
    pub ports: Option<Vec<TierPort>>,
}

/// What a rule does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Action {
    /// Admits it, for good (v1alpha2).
    Accept,
    /// Admits it, for good (v1alpha1).
    Allow,
    /// Denies it, for good.
    Deny,
    /// Leaves it to the next tier.
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
    /// Addresses, pods' included. Egress only.
    Networks(Vec<IpNet>),
    /// Nodes by their labels, by way of their addresses. Egress only.
    Nodes(LabelSelector),
    /// What these names resolve to. Egress of `Accept` rules only.
    DomainNames(Vec<Box<str>>),
    /// A peer of a kind that is not known here. It fails closed: an accepting rule matches nothing, any other
    /// denies everything.
    Unknown,
}

/// A port of a cluster-wide rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TierPort {
    /// By protocol and number.
    Port(Port),
    /// What the destination pod calls so, whatever the protocol.
    Named(Box<str>),
}

impl ClusterPolicy {
    /// The rules of one direction.
    #[must_use]
    pub fn rules(&self, direction: PolicyDirection) -> &[TierRule] {
        match direction {
            PolicyDirection::Ingress => &self.ingress,
            PolicyDirection::Egress => &self.egress,
        }
    }
}
