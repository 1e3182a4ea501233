//! The compiled policies of one snapshot.

use std::{fmt, net::IpAddr, sync::Arc};

use super::{
    caveat::{Caveat, Caveats},
    class_table::ClassTable,
    direction_verdict::{DecidedBy, DirectionVerdict},
    original_address::{OriginalAddress, addresses_before},
    query::{ConnectionPeer, Query},
    rule::{EndpointIps, Match, Traffic},
    rule_endpoint::{RuleEndpoint, Subject},
    tiers::DirectionQuery,
    verdict::Verdict,
};
use crate::{
    cluster::Snapshot,
    model::{Node, Pod, PolicyDirection},
};

/// The compiled policies of one snapshot. It never changes, and asking it allocates nothing.
pub struct Engine {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) classes: ClassTable,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("generation", &self.snapshot.generation())
            .field("classes", &self.classes.len())
            .finish()
    }
}

impl Engine {
    /// Compiles a snapshot from nothing. To follow changes, keep a [`super::Compiler`].
    #[must_use]
    pub fn compile(snapshot: &Arc<Snapshot>) -> Arc<Self> {
        super::Compiler::new().update(snapshot)
    }

    /// The state that verdicts are about.
    #[must_use]
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// What the policies say of a connection.
    #[must_use]
    pub fn evaluate<'e>(&'e self, query: &Query<'e>) -> Verdict<'e> {
        let source = self.end(query.source);
        let destination = self.end(query.destination);
        let mut caveats = source.caveats;
        caveats.extend(destination.caveats);
        if source.is_host_pod() || destination.is_host_pod() {
            caveats.add(Caveat::HostNetwork);
        }
        if let (Some(from), Some(to)) = (source.pod(), destination.pod())
            && is_same(from, to)
        {
            if query.via_service.is_none() {
                return Verdict::to_itself(from, caveats);
            }
            caveats.add(Caveat::Hairpin);
        }
        let egress = self.judge(PolicyDirection::Egress, query, &source, &destination);
        let ingress = self.judge(PolicyDirection::Ingress, query, &source, &destination);
        if egress.decided_by.is_policy() && source.pod().is_some_and(|pod| destination.hosts(pod)) {
            caveats.add(Caveat::OwnNode);
        }
        if [&egress, &ingress].into_iter().any(|side| self.hides_policy(side)) {
            caveats.add(Caveat::UnreadablePolicy);
        }
        if egress.allowed && self.depends_on_masquerade(query, &source, &destination, &ingress) {
            caveats.add(Caveat::TranslatedSource);
        }
        caveats.extend(egress.caveats);
        caveats.extend(ingress.caveats);
        Verdict { egress, ingress, caveats }
    }

    /// Whether another state surely gives the same verdict on connections between these two: it has the same there, and has
    /// compiled the same for it. That costs no search. Where it is not sure, the verdicts may still be the same.
    #[must_use]
    pub fn is_same_for(
        &self,
        other: &Self,
        source: ConnectionPeer<'_>,
        destination: ConnectionPeer<'_>,
    ) -> bool {
        let peers = [source, destination];
        let (Some(from), Some(to)) = (source.ip(), destination.ip()) else { return false };
        let is_compiled = |peer: &ConnectionPeer<'_>| {
            peer.pod().is_none_or(|pod| self.classes.is_same_for(&other.classes, &pod.class))
        };
        self.snapshot.is_same_at(&other.snapshot, [from, to]) && peers.iter().all(is_compiled)
    }

    /// Whether the destination's policies would judge a node otherwise that may have taken the source's place. kube-proxy
    /// does that to all connections to a node's port or a load balancer's address, pods' own ones too, if they may go on
    /// to another node (`externalTrafficPolicy: Cluster`).
    fn depends_on_masquerade<'e>(
        &'e self,
        query: &Query<'e>,
        source: &RuleEndpoint<'e>,
        destination: &RuleEndpoint<'e>,
        ingress: &DirectionVerdict<'e>,
    ) -> bool {
        let Some(pod) = source.pod().filter(|_| ingress.decided_by.is_policy()) else { return false };
        let own = || self.snapshot.node(pod.node.as_deref()?);
        let used =
            query.via_service.unwrap_or_default().iter().filter(|ip| !self.snapshot.is_cluster_ip(**ip));
        let mut nodes = used.filter_map(|ip| self.snapshot.node_by_ip(*ip).or_else(own));
        nodes.any(|node| {
            let node = RuleEndpoint::new(Subject::Node(node), EndpointIps::Any(&node.ips));
            self.judge(PolicyDirection::Ingress, query, &node, destination).allowed != ingress.allowed
        })
    }

    /// The cluster addresses of all Services that lead to a destination. All Services are looked at: this is for
    /// questions about a connection that nobody made.
    #[must_use]
    pub fn service_addresses(&self, destination: ConnectionPeer<'_>) -> Vec<IpAddr> {
        addresses_before(&self.snapshot, self.end(destination).pod().map(|pod| &**pod))
    }

    /// Whether a NetworkPolicy that can't be read may say something else. What the Admin tier says holds whatever they say.
    fn hides_policy(&self, side: &DirectionVerdict<'_>) -> bool {
        let asked =
            matches!(side.decided_by, DecidedBy::NetworkPolicy | DecidedBy::Baseline | DecidedBy::Default);
        asked && side.subject.is_some_and(|pod| self.snapshot.hides_policy(pod.namespace()))
    }

    fn judge<'e>(
        &'e self,
        direction: PolicyDirection,
        query: &Query<'e>,
        source: &RuleEndpoint<'e>,
        destination: &RuleEndpoint<'e>,
    ) -> DirectionVerdict<'e> {
        let (subject, peer) = match direction {
            PolicyDirection::Egress => (source, destination),
            PolicyDirection::Ingress => (destination, source),
        };
        let exempt = |by, pod| DirectionVerdict::exempt(direction, by, pod, Caveats::default());
        let (pod, profile) = match subject.who {
            Subject::Pod(pod, profile) => (pod, profile),
            Subject::HostPod(pod, _) => return exempt(DecidedBy::HostNetwork, Some(pod)),
            Subject::Node(_) | Subject::Outside => return exempt(DecidedBy::NoSubject, None),
        };
        if direction == PolicyDirection::Ingress && peer.hosts(pod) {
            return exempt(DecidedBy::LocalNode, Some(pod));
        }
        let translation = match (query.via_service, direction, peer.pod()) {
            (None, ..) => OriginalAddress::None,
            (Some(addresses), PolicyDirection::Egress, _) => OriginalAddress::OfDestination { addresses },
            (Some(_), PolicyDirection::Ingress, Some(_)) => OriginalAddress::KeptSource,
            (Some(_), PolicyDirection::Ingress, None) => OriginalAddress::OfSource,
        };
        let traffic = Traffic {
            peer_sets: peer.sets(),
            peer_ips: peer.ips,
            peer_node: peer.node(),
            peer_is_pod: peer.pod().is_some(),
            protocol: query.protocol,
            port: query.port,
            declared: destination.declared(),
        };
        let question =
            DirectionQuery { direction, subject: pod, side: profile.side(direction), traffic, translation };
        let mut direction_verdict = question.judge();
        if !direction_verdict.allowed
            && let Subject::Node(node) = peer.who
            && self.admits_host_pod(&direction_verdict, node)
        {
            direction_verdict.caveats.add(Caveat::HostNetwork);
        }
        direction_verdict
    }

    /// Whether the NetworkPolicies that deny a connection with a node would admit it with a pod in the node's network:
    /// an enforcer may tell its traffic from the node's own.
    fn admits_host_pod(&self, denial: &DirectionVerdict<'_>, node: &Node) -> bool {
        let Some((side, traffic)) = denial.network_policies else { return false };
        self.snapshot.host_pods(&node.name).any(|pod| {
            let Some(profile) = self.classes.get(&pod.class) else { return false };
            let declared = match denial.direction {
                PolicyDirection::Egress => &pod.class.ports,
                PolicyDirection::Ingress => traffic.declared,
            };
            let traffic = Traffic { peer_sets: &profile.sets, declared, ..traffic };
            side.rules.iter().any(|rule| rule.matches(&traffic) == Match::Yes)
        })
    }

    pub(super) fn end<'e>(&'e self, party: ConnectionPeer<'e>) -> RuleEndpoint<'e> {
        match party {
            ConnectionPeer::Pod(pod) => self.end_of_pod(pod, EndpointIps::Any(&pod.ips)),
            ConnectionPeer::PodAt(pod, ip) => self.end_of_pod(pod, EndpointIps::One(ip.to_canonical())),
            ConnectionPeer::Ip(ip) => {
                let ip = ip.to_canonical();
                if let Some(pod) = self.snapshot.pod_by_ip(ip) {
                    return self.end_of_pod(pod, EndpointIps::One(ip));
                }
                let node = self.snapshot.node_by_ip(ip);
                RuleEndpoint::at(ip, node.map_or(Subject::Outside, |node| Subject::Node(node)))
            }
            ConnectionPeer::NodeAt(node, ip) => RuleEndpoint::at(ip.to_canonical(), Subject::Node(node)),
        }
    }

    fn end_of_pod<'e>(&'e self, pod: &'e Arc<Pod>, ips: EndpointIps<'e>) -> RuleEndpoint<'e> {
        if pod.is_finished() {
            return RuleEndpoint::unselectable(ips, Caveat::FinishedPod);
        }
        if pod.host_network {
            let node = pod.node.as_ref().and_then(|name| self.snapshot.node(name));
            return RuleEndpoint::new(Subject::HostPod(pod, node.map(|node| &**node)), ips);
        }
        if !pod.is_member() {
            return RuleEndpoint::unselectable(ips, Caveat::NoAddress);
        }
        match self.classes.get(&pod.class) {
            Some(profile) => RuleEndpoint::new(Subject::Pod(pod, profile), ips),
            None => RuleEndpoint::unselectable(ips, Caveat::UnknownPod),
        }
    }
}

/// Whether both are one pod, be it at different times. Names are compared only where nothing cheaper tells.
fn is_same(a: &Arc<Pod>, b: &Arc<Pod>) -> bool {
    Arc::ptr_eq(a, b) || (a.namespace() == b.namespace() && a.key == b.key)
}
