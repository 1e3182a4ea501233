//! Why a rule does not admit a connection: which label, namespace, range or port.

use crate::{
    cluster::Snapshot,
    model::{
        LabelSelector, Labels, Pod, PolicyDirection, Protocol, Requirement, Values,
        network_policy::{IpBlock, Peer, Port, PortNumber, Rule},
    },
    policy::{CompiledRule, ConnectionPeer, Mismatch},
};

/// So many peers are told of.
const TOLD: usize = 4;

/// The connection that a rule does not admit.
pub(super) struct Refused<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) from: ConnectionPeer<'a>,
    pub(super) to: ConnectionPeer<'a>,
    pub(super) protocol: Protocol,
    pub(super) port: u16,
}

impl Refused<'_> {
    /// A sentence for each peer that does not match, and one for the ports.
    pub(super) fn reasons(&self, compiled: &CompiledRule, mismatch: Mismatch) -> Vec<String> {
        let index = usize::try_from(compiled.index).unwrap_or(usize::MAX);
        let rules = compiled.policy.rules(compiled.direction).unwrap_or_default();
        let Some(rule) = rules.get(index) else { return Vec::new() };
        let mut reasons = Vec::new();
        if matches!(mismatch, Mismatch::Peer | Mismatch::Both) {
            let other = match compiled.direction {
                PolicyDirection::Ingress => self.from,
                PolicyDirection::Egress => self.to,
            };
            let peers = rule.peers.iter().map(|peer| self.of_peer(peer, other, &compiled.policy.namespace));
            reasons.extend(peers.take(TOLD));
            if let Some(more) = rule.peers.len().checked_sub(TOLD).filter(|more| *more > 0) {
                reasons.push(format!("nor does it match {more} more"));
            }
        }
        if matches!(mismatch, Mismatch::Port | Mismatch::Both) {
            reasons.push(self.of_ports(rule));
        }
        reasons
    }

    fn of_peer(&self, peer: &Peer, other: ConnectionPeer<'_>, home: &str) -> String {
        let pod = self.pod(other);
        match (peer, pod) {
            (Peer::Block(block), _) => of_block(block, other),
            (Peer::Pods { .. }, None) => "it selects pods, and the other end is none".to_owned(),
            (Peer::Pods { .. }, Some(pod)) if pod.host_network => {
                format!("it selects pods, and {} is in its node's network", pod.key)
            }
            (Peer::Pods { namespaces, pods }, Some(pod)) => self.of_pod(namespaces.as_ref(), pods, pod, home),
        }
    }

    fn of_pod(
        &self,
        namespaces: Option<&LabelSelector>,
        pods: &LabelSelector,
        pod: &Pod,
        home: &str,
    ) -> String {
        let namespace = pod.namespace();
        match namespaces {
            None if **namespace != *home => {
                return format!(
                    "without a namespaceSelector it is for pods of namespace {home}, and {} is in {namespace}",
                    pod.key
                );
            }
            None => {}
            Some(selector) => {
                let labels = self.snapshot.namespace(namespace).map(|namespace| &namespace.labels);
                let unmet = labels.and_then(|labels| unmet(selector, labels));
                if let Some(unmet) = unmet {
                    return format!("namespaceSelector: namespace {namespace} {unmet}");
                }
            }
        }
        match unmet(pods, pod.labels()) {
            Some(unmet) => format!("podSelector: pod {} {unmet}", pod.key),
            None => format!("policies can't match {}", pod.key),
        }
    }

    fn pod<'s>(&'s self, end: ConnectionPeer<'s>) -> Option<&'s Pod> {
        match end {
            ConnectionPeer::Pod(pod) | ConnectionPeer::PodAt(pod, _) => Some(pod),
            ConnectionPeer::Ip(ip) => self.snapshot.pod_by_ip(ip).map(|pod| &**pod),
            _ => None,
        }
    }

    fn of_ports(&self, rule: &Rule) -> String {
        let ports: Vec<String> = rule.ports.iter().map(port).collect();
        let declared = self.pod(self.to).map(|pod| &*pod.class.ports).unwrap_or_default();
        let has_name = |name: &str| declared.iter().any(|own| own.name.as_deref() == Some(name));
        let unknown = rule.ports.iter().find_map(|port| match &port.number {
            PortNumber::Named(name) if !has_name(name) => Some(name),
            _ => None,
        });
        let hint = unknown.map(|name| format!("; nobody declares a port {name:?} there")).unwrap_or_default();
        format!("ports: {} {} is not {}{hint}", self.protocol, self.port, ports.join(", "))
    }
}

fn of_block(block: &IpBlock, other: ConnectionPeer<'_>) -> String {
    let ips: Vec<std::net::IpAddr> = match other {
        ConnectionPeer::Pod(pod) => pod.ips.to_vec(),
        ConnectionPeer::PodAt(_, ip) | ConnectionPeer::Ip(ip) | ConnectionPeer::NodeAt(_, ip) => vec![ip],
    };
    let Some(ip) = ips.first() else {
        return format!("ipBlock: the other end has no address that {} could contain", block.cidr);
    };
    match block.except.iter().find(|hole| hole.contains(ip)) {
        Some(hole) => format!("ipBlock: {ip} is in {hole}, which is left out (except)"),
        None => format!("ipBlock: {ip} is not in {}", block.cidr),
    }
}

/// The first requirement that labels do not meet, and what they have instead.
fn unmet(selector: &LabelSelector, labels: &Labels) -> Option<String> {
    let unmet: &Requirement =
        selector.requirements().iter().find(|requirement| !requirement.matches(labels))?;
    let has = match (labels.get(&unmet.key), &unmet.values) {
        (Some(value), _) => format!("has {}={value}", unmet.key),
        (None, _) => format!("has no label {}", unmet.key),
    };
    Some(match &unmet.values {
        Values::Exists | Values::DoesNotExist => has,
        Values::In(_) | Values::NotIn(_) => format!("{has}, and must be {unmet}"),
    })
}

fn port(port: &Port) -> String {
    match &port.number {
        PortNumber::Any => port.protocol.to_string(),
        PortNumber::Range(first, last) if first == last => format!("{} {first}", port.protocol),
        PortNumber::Range(first, last) => format!("{} {first}-{last}", port.protocol),
        PortNumber::Named(name) => format!("{} {name:?}", port.protocol),
    }
}
