//! Rules, ready to be matched.

use std::{net::IpAddr, sync::Arc};

use smallvec::SmallVec;

use super::{ip_block_set::IpBlockSet, peers::PeerId, ports::Ports};
use crate::model::{
    ClusterPolicy, ContainerPort, LabelSelector, NetworkPolicy, Node, PolicyDirection, Protocol, RuleRef,
    cluster_policy::Action,
};

/// A rule of a NetworkPolicy.
#[derive(Clone, Debug)]
pub struct CompiledRule {
    /// The policy that it is of.
    pub policy: Arc<NetworkPolicy>,
    /// In which of its lists.
    pub direction: PolicyDirection,
    /// Where in that list.
    pub index: u32,
    pub(super) peers: PeerMatcher,
    pub(super) ports: Ports,
}

/// A rule of a cluster-wide policy.
#[derive(Clone, Debug)]
pub struct CompiledTierRule {
    /// The policy that it is of.
    pub policy: Arc<ClusterPolicy>,
    /// In which of its lists.
    pub direction: PolicyDirection,
    /// Where in that list.
    pub index: u32,
    /// What it does. `Deny` for one that fails closed, whatever is written.
    pub action: Action,
    /// Whether it has a peer of an unknown kind.
    pub(super) fails_closed: bool,
    pub(super) peers: PeerMatcher,
    pub(super) ports: Ports,
}

impl CompiledRule {
    pub(super) fn matches(&self, traffic: &Traffic<'_>) -> Match {
        matches(&self.peers, &self.ports, traffic)
    }

    /// Why it does not match; `None` where it does.
    pub(super) fn mismatch(&self, traffic: &Traffic<'_>) -> Option<Mismatch> {
        let port = self.ports.contains(traffic.protocol, traffic.port, traffic.declared);
        match (self.peers.matches(traffic) != Match::No, port) {
            (true, true) => None,
            (false, true) => Some(Mismatch::Peer),
            (true, false) => Some(Mismatch::Port),
            (false, false) => Some(Mismatch::Both),
        }
    }

    /// Its name.
    #[must_use]
    pub fn reference(&self) -> RuleRef {
        RuleRef { policy: self.policy.id.clone(), direction: self.direction, index: self.index }
    }
}

impl CompiledTierRule {
    pub(super) fn matches(&self, traffic: &Traffic<'_>) -> Match {
        matches(&self.peers, &self.ports, traffic)
    }

    /// Its name.
    #[must_use]
    pub fn reference(&self) -> RuleRef {
        RuleRef { policy: self.policy.id.clone(), direction: self.direction, index: self.index }
    }
}

/// The other end, as a rule describes it.
#[derive(Clone, Debug, Default)]
pub(super) struct PeerMatcher {
    pub(super) everyone: bool,
    /// Sorted.
    pub(super) sets: SmallVec<[PeerId; 4]>,
    pub(super) blocks: Option<Arc<IpBlockSet>>,
    pub(super) nodes: Box<[LabelSelector]>,
    pub(super) domain_names: bool,
}

/// How a rule matches a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    No,
    /// By its peers' labels, or because it is for everyone.
    Yes,
    /// By an address range alone.
    ByAddress,
    /// Perhaps: a domain name decides.
    Perhaps,
}

/// Why a rule does not match a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mismatch {
    /// The other end is none of its peers.
    Peer,
    /// The port is none of its ports.
    Port,
    /// Neither fits.
    Both,
}

/// A connection, as the rules of one direction see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traffic<'e> {
    /// The sets of pods that the other end is in.
    pub(super) peer_sets: &'e [PeerId],
    pub(super) peer_ips: EndpointIps<'e>,
    /// The node whose address the other end has.
    pub(super) peer_node: Option<&'e Node>,
    pub(super) peer_is_pod: bool,
    pub(super) protocol: Protocol,
    pub(super) port: u16,
    /// What the destination declares, for named ports.
    pub(super) declared: &'e [ContainerPort],
}

/// The addresses of an end: the one that was seen, or all that it has.
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
    /// How the other end matches, ports aside.
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

/// How a rule matches; the cheaper half is tried first.
fn matches(peers: &PeerMatcher, ports: &Ports, traffic: &Traffic<'_>) -> Match {
    if ports.contains(traffic.protocol, traffic.port, traffic.declared) {
        peers.matches(traffic)
    } else {
        Match::No
    }
}
