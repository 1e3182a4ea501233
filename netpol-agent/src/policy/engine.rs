//! The compiled policies of one snapshot.
//!
//! [`Engine::evaluate`] is the entry point of the policy engine: it takes a query and returns a verdict.

use std::{fmt, net::IpAddr, sync::Arc};

use super::{
    caveat::{Caveat, Caveats},
    class_table::ClassTable,
    direction_verdict::{DecidedBy, DirectionVerdict},
    original_address::{OriginalAddress, service_addresses_of},
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

/// The compiled policies of one snapshot. An engine is immutable, and evaluating a query does not allocate memory.
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
    /// Compiles a whole snapshot. To compile changes incrementally, use a [`super::Compiler`].
    #[must_use]
    pub fn compile(snapshot: &Arc<Snapshot>) -> Arc<Self> {
        super::Compiler::new().update(snapshot)
    }

    /// The snapshot that was compiled.
    #[must_use]
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Returns the verdict for a connection.
    #[must_use]
    pub fn evaluate<'e>(&'e self, query: &Query<'e>) -> Verdict<'e> {
        let source = self.endpoint(query.source);
        let destination = self.endpoint(query.destination);
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
        let egress = self.evaluate_direction(PolicyDirection::Egress, query, &source, &destination);
        let ingress = self.evaluate_direction(PolicyDirection::Ingress, query, &source, &destination);
        if egress.decided_by.is_policy() && source.pod().is_some_and(|pod| destination.is_node_of(pod)) {
            caveats.add(Caveat::OwnNode);
        }
        if [&egress, &ingress].into_iter().any(|verdict| self.hides_policy(verdict)) {
            caveats.add(Caveat::UnreadablePolicy);
        }
        if egress.allowed && self.depends_on_masquerade(query, &source, &destination, &ingress) {
            caveats.add(Caveat::TranslatedSource);
        }
        caveats.extend(egress.caveats);
        caveats.extend(ingress.caveats);
        Verdict { egress, ingress, caveats }
    }

    /// Returns true if another engine certainly gives the same verdict for connections between these two peers: the state of
    /// their addresses and the compiled policies of their classes are the same.
    ///
    /// This check does no search. A false result does not mean that the verdicts differ.
    #[must_use]
    pub fn is_same_for(
        &self,
        other: &Self,
        source: ConnectionPeer<'_>,
        destination: ConnectionPeer<'_>,
    ) -> bool {
        let peers = [source, destination];
        let (Some(from), Some(to)) = (source.ip(), destination.ip()) else { return false };
        let has_same_policies = |peer: &ConnectionPeer<'_>| {
            peer.pod().is_none_or(|pod| self.classes.is_same_for(&other.classes, &pod.class))
        };
        self.snapshot.is_same_at(&other.snapshot, [from, to]) && peers.iter().all(has_same_policies)
    }

    /// Returns true if source NAT (masquerading) may change the ingress verdict.
    ///
    /// kube-proxy replaces the source address with a node's address for all connections to a node port or a load
    /// balancer's address that may be forwarded to another node (`externalTrafficPolicy: Cluster`). It does so for
    /// connections from pods, too. This compares the verdict for such a node with the verdict for the source.
    fn depends_on_masquerade<'e>(
        &'e self,
        query: &Query<'e>,
        source: &RuleEndpoint<'e>,
        destination: &RuleEndpoint<'e>,
        ingress: &DirectionVerdict<'e>,
    ) -> bool {
        let Some(pod) = source.pod().filter(|_| ingress.decided_by.is_policy()) else { return false };
        let own_node = || self.snapshot.node(pod.node.as_deref()?);
        let node_or_load_balancer_ips =
            query.via_service.unwrap_or_default().iter().filter(|ip| !self.snapshot.is_cluster_ip(**ip));
        let mut nodes =
            node_or_load_balancer_ips.filter_map(|ip| self.snapshot.node_by_ip(*ip).or_else(own_node));
        nodes.any(|node| {
            let node = RuleEndpoint::new(Subject::Node(node), EndpointIps::Any(&node.ips));
            self.evaluate_direction(PolicyDirection::Ingress, query, &node, destination).allowed
                != ingress.allowed
        })
    }

    /// The cluster IPs of all Services that may forward to a destination. This searches all Services: it is for
    /// queries about hypothetical connections.
    #[must_use]
    pub fn service_addresses(&self, destination: ConnectionPeer<'_>) -> Vec<IpAddr> {
        service_addresses_of(&self.snapshot, self.endpoint(destination).pod().map(|pod| &**pod))
    }

    /// Returns true if an unreadable NetworkPolicy may change the verdict. It can't change a verdict of the Admin
    /// tier.
    fn hides_policy(&self, verdict: &DirectionVerdict<'_>) -> bool {
        let uses_network_policies =
            matches!(verdict.decided_by, DecidedBy::NetworkPolicy | DecidedBy::Baseline | DecidedBy::Default);
        uses_network_policies
            && verdict.subject.is_some_and(|pod| self.snapshot.hides_policy(pod.namespace()))
    }

    fn evaluate_direction<'e>(
        &'e self,
        direction: PolicyDirection,
        query: &Query<'e>,
        source: &RuleEndpoint<'e>,
        destination: &RuleEndpoint<'e>,
    ) -> DirectionVerdict<'e> {
        let (endpoint, peer) = match direction {
            PolicyDirection::Egress => (source, destination),
            PolicyDirection::Ingress => (destination, source),
        };
        let exempt =
            |decided_by, pod| DirectionVerdict::exempt(direction, decided_by, pod, Caveats::default());
        let (pod, compiled) = match endpoint.subject {
            Subject::Pod(pod, compiled) => (pod, compiled),
            Subject::HostPod(pod, _) => return exempt(DecidedBy::HostNetwork, Some(pod)),
            Subject::Node(_) | Subject::Outside => return exempt(DecidedBy::NoSubject, None),
        };
        if direction == PolicyDirection::Ingress && peer.is_node_of(pod) {
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
        let query = DirectionQuery {
            direction,
            subject: pod,
            compiled: compiled.direction(direction),
            traffic,
            translation,
        };
        let mut direction_verdict = query.evaluate();
        if !direction_verdict.allowed
            && let Subject::Node(node) = peer.subject
            && self.admits_host_pod(&direction_verdict, node)
        {
            direction_verdict.caveats.add(Caveat::HostNetwork);
        }
        direction_verdict
    }

    /// Returns true if the NetworkPolicies that deny a connection with a node would allow it with one of the node's
    /// host-network pods. An implementation may distinguish that pod's traffic from the node's own traffic.
    fn admits_host_pod(&self, denial: &DirectionVerdict<'_>, node: &Node) -> bool {
        let Some((compiled, traffic)) = denial.network_policies else { return false };
        self.snapshot.host_pods(&node.name).any(|pod| {
            let Some(class) = self.classes.get(&pod.class) else { return false };
            let declared = match denial.direction {
                PolicyDirection::Egress => &pod.class.ports,
                PolicyDirection::Ingress => traffic.declared,
            };
            let traffic = Traffic { peer_sets: &class.sets, declared, ..traffic };
            compiled.rules.iter().any(|rule| rule.matches(&traffic) == Match::Yes)
        })
    }

    pub(super) fn endpoint<'e>(&'e self, peer: ConnectionPeer<'e>) -> RuleEndpoint<'e> {
        match peer {
            ConnectionPeer::Pod(pod) => self.pod_endpoint(pod, EndpointIps::Any(&pod.ips)),
            ConnectionPeer::PodAt(pod, ip) => self.pod_endpoint(pod, EndpointIps::One(ip.to_canonical())),
            ConnectionPeer::Ip(ip) => {
                let ip = ip.to_canonical();
                if let Some(pod) = self.snapshot.pod_by_ip(ip) {
                    return self.pod_endpoint(pod, EndpointIps::One(ip));
                }
                let node = self.snapshot.node_by_ip(ip);
                RuleEndpoint::at(ip, node.map_or(Subject::Outside, |node| Subject::Node(node)))
            }
            ConnectionPeer::NodeAt(node, ip) => RuleEndpoint::at(ip.to_canonical(), Subject::Node(node)),
        }
    }

    fn pod_endpoint<'e>(&'e self, pod: &'e Arc<Pod>, ips: EndpointIps<'e>) -> RuleEndpoint<'e> {
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
            Some(compiled) => RuleEndpoint::new(Subject::Pod(pod, compiled), ips),
            None => RuleEndpoint::unselectable(ips, Caveat::UnknownPod),
        }
    }
}

/// Returns true if both are the same pod, possibly in different versions. Names are compared only if the cheaper
/// checks do not decide.
fn is_same(a: &Arc<Pod>, b: &Arc<Pod>) -> bool {
    Arc::ptr_eq(a, b) || (a.namespace() == b.namespace() && a.key == b.key)
}
