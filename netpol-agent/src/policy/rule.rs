//! Compiled rules, and how they are matched against a connection.
//!
//! A rule matches a connection if its ports and one of its peers match.

use std::{net::IpAddr, sync::Arc};

use smallvec::SmallVec;

use super::{ip_block_set::IpBlockSet, peers::PeerId, ports::Ports};
use crate::model::{
    ClusterPolicy, ContainerPort, LabelSelector, NetworkPolicy, Node, PolicyDirection, Protocol, RuleRef,
    cluster_policy::Action,
};

/// A compiled rule of a NetworkPolicy.
#[derive(Clone, Debug)]
pub struct CompiledRule {
    /// The policy that contains the rule.
    pub policy: Arc<NetworkPolicy>,
    /// Whether it is an ingress or an egress rule.
    pub direction: PolicyDirection,
    /// The index of the rule in the policy's list for that direction, from 0.
    pub index: u32,
    pub(super) peers: PeerMatcher,
    pub(super) ports: Ports,
}

/// A compiled rule of a cluster-wide policy.
#[derive(Clone, Debug)]
pub struct CompiledTierRule {
    /// The policy that contains the rule.
    pub policy: Arc<ClusterPolicy>,
    /// Whether it is an ingress or an egress rule.
    pub direction: PolicyDirection,
    /// The index of the rule in the policy's list for that direction, from 0.
    pub index: u32,
    /// The action. If an accepting rule fails closed, it keeps its action and matches nothing. Any other rule that
    /// fails closed has the action `Deny`, whatever the policy declares.
    pub action: Action,
    /// True if the rule has a peer of an unknown kind, or no peers.
    pub(super) fails_closed: bool,
    pub(super) peers: PeerMatcher,
    pub(super) ports: Ports,
}

impl CompiledRule {
    pub(super) fn matches(&self, traffic: &Traffic<'_>) -> Match {
        matches(&self.peers, &self.ports, traffic)
    }

    /// Returns why the rule does not match. `None` if it matches.
    pub(super) fn mismatch(&self, traffic: &Traffic<'_>) -> Option<Mismatch> {
        let port = self.ports.contains(traffic.protocol, traffic.port, traffic.declared);
        match (self.peers.matches(traffic) != Match::No, port) {
            (true, true) => None,
            (false, true) => Some(Mismatch::Peer),
            (true, false) => Some(Mismatch::Port),
            (false, false) => Some(Mismatch::Both),
        }
    }

    /// A reference to the rule: policy, direction and index.
    #[must_use]
    pub fn reference(&self) -> RuleRef {
        RuleRef { policy: self.policy.id.clone(), direction: self.direction, index: self.index }
    }
}

impl CompiledTierRule {
    pub(super) fn matches(&self, traffic: &Traffic<'_>) -> Match {
        matches(&self.peers, &self.ports, traffic)
    }

    /// A reference to the rule: policy, direction and index.
    #[must_use]
    pub fn reference(&self) -> RuleRef {
        RuleRef { policy: self.policy.id.clone(), direction: self.direction, index: self.index }
    }
}

/// The compiled peers of a rule.
#[derive(Clone, Debug, Default)]
pub(super) struct PeerMatcher {
    /// True if the rule matches every peer.
    pub(super) everyone: bool,
    /// The IDs of the rule's peer sets, sorted.
    pub(super) sets: SmallVec<[PeerId; 4]>,
    pub(super) blocks: Option<Arc<IpBlockSet>>,
    pub(super) nodes: Box<[LabelSelector]>,
    pub(super) domain_names: bool,
}

/// How a rule matches a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    No,
    /// The rule matches by labels, or because it matches every peer.
    Yes,
    /// The rule matches only by an address range: an `ipBlock`, or `networks` of a cluster-wide policy.
    ByAddress,
    /// The rule may match: that depends on the addresses of a domain name.
    Perhaps,
}

/// Why a rule does not match a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mismatch {
    /// The peer does not match.
    Peer,
    /// The port does not match.
    Port,
    /// Neither the peer nor the port matches.
    Both,
}

/// The properties of a connection that the rules of one direction are matched against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traffic<'e> {
    /// The IDs of the peer sets that contain the peer, sorted.
    pub(super) peer_sets: &'e [PeerId],
    pub(super) peer_ips: EndpointIps<'e>,
    /// The node whose address the peer has.
    pub(super) peer_node: Option<&'e Node>,
    pub(super) peer_is_pod: bool,
    pub(super) protocol: Protocol,
    pub(super) port: u16,
    /// The container ports of the destination, to resolve named ports.
    pub(super) declared: &'e [ContainerPort],
}

/// The addresses of an endpoint: the one that was observed, or all of its addresses.
#[derive(Clone, Copy, Debug)]
pub(super) enum EndpointIps<'e> {
    One(IpAddr),
    Any(&'e [IpAddr]),
}

impl EndpointIps<'_> {
    fn any(&self, mut test: impl FnMut(IpAddr) -> bool) -> bool {
        match self {
            Self::One(ip) => test(*ip),
            Self::Any(ips) => ips.iter().any(|ip| test(*ip)),
        }
    }
}

impl PeerMatcher {
    /// Matches the peer, without the port.
    fn matches(&self, traffic: &Traffic<'_>) -> Match {
        if self.everyone || self.sets.iter().any(|set| traffic.peer_sets.binary_search(set).is_ok()) {
            return Match::Yes;
        }
        let of_node = |node: &Node| self.nodes.iter().any(|selector| selector.matches(&node.labels));
        if !self.nodes.is_empty() && traffic.peer_node.is_some_and(of_node) {
            return Match::Yes;
        }
        if self.blocks.as_ref().is_some_and(|blocks| traffic.peer_ips.any(|ip| blocks.contains(ip))) {
            return Match::ByAddress;
        }
        if self.domain_names && !traffic.peer_is_pod { Match::Perhaps } else { Match::No }
    }
}

/// Matches a rule. The ports are compared first because that is cheaper.
fn matches(peers: &PeerMatcher, ports: &Ports, traffic: &Traffic<'_>) -> Match {
    if ports.contains(traffic.protocol, traffic.port, traffic.declared) {
        peers.matches(traffic)
    } else {
        Match::No
    }
}
