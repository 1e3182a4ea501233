//! Ports that the pods in question do not serve.

use std::sync::Arc;

use super::{
    cluster::{DIRECTIONS, LintInput},
    finding::{LintCode, LintFinding},
};
use crate::model::{
    NetworkPolicy, Pod, PolicyDirection, Protocol,
    network_policy::{Peer, Port, PortNumber, Rule},
};

pub(super) fn findings(cluster: &LintInput<'_>) -> Vec<LintFinding> {
    let mut findings = Vec::new();
    for policy in &cluster.policies {
        for direction in DIRECTIONS {
            for (i, rule) in policy.rules(direction).unwrap_or_default().iter().enumerate() {
                let pods = destinations(cluster, policy, direction, rule);
                for (j, port) in rule.ports.iter().enumerate() {
                    let path = format!("spec.{direction}[{i}].ports[{j}].port");
                    findings.extend(of_port(cluster, policy, port, &pods, &path));
                }
            }
        }
    }
    findings
}

/// The pods whose ports a rule is about: the policy's own for ingress, the peers for egress.
fn destinations<'a>(
    cluster: &LintInput<'a>,
    policy: &NetworkPolicy,
    direction: PolicyDirection,
    rule: &Rule,
) -> Vec<&'a Arc<Pod>> {
    match direction {
        PolicyDirection::Ingress => cluster.selected(&policy.namespace, &policy.pods),
        // Where a peer may mean pods that are not known, what the known ones declare says nothing.
        PolicyDirection::Egress
            if rule
                .peers
                .iter()
                .any(|peer| !cluster.knows_pods_of(policy, peer) && !is_aimed(cluster, policy, peer)) =>
        {
            Vec::new()
        }
        PolicyDirection::Egress => rule.peers.iter().flat_map(|peer| cluster.peers(policy, peer)).collect(),
    }
}

/// Whether a peer is for pods that are known: it asks for labels, and there are pods of the namespaces that have them.
fn is_aimed(cluster: &LintInput<'_>, policy: &NetworkPolicy, peer: &Peer) -> bool {
    match peer {
        Peer::Pods { namespaces: Some(namespaces), pods } => {
            !namespaces.is_empty() && !pods.is_empty() && !cluster.peers(policy, peer).is_empty()
        }
        Peer::Pods { namespaces: None, .. } | Peer::Block(_) => true,
    }
}

fn of_port(
    cluster: &LintInput<'_>,
    policy: &NetworkPolicy,
    port: &Port,
    pods: &[&Arc<Pod>],
    path: &str,
) -> Option<LintFinding> {
    if pods.is_empty() {
        return None;
    }
    let mut declared = pods.iter().flat_map(|pod| pod.class.ports.iter());
    match &port.number {
        PortNumber::Any => None,
        PortNumber::Named(name) => {
            if declared.any(|d| d.name.as_ref() == Some(name) && d.protocol == port.protocol) {
                return None;
            }
            let reason = format!(
                "none of the {} pods in question has a {} port named {name:?}",
                pods.len(),
                port.protocol
            );
            let remedy = format!("name the container port, or use its number; declared are: {}", list(pods));
            Some(cluster.finding(LintCode::NamedPortUndeclared, &policy.id, path, reason, remedy))
        }
        PortNumber::Range(first, last) => {
            // A pod may listen on ports that it does not declare; only one that declares some says what it serves.
            let silent = pods.iter().any(|pod| pod.class.ports.is_empty());
            if silent && first == last {
                return of_silent(cluster, policy, pods, (port.protocol, *first), path);
            }
            if silent || declared.any(|d| d.protocol == port.protocol && (*first..=*last).contains(&d.port)) {
                return None;
            }
            let reason = format!(
                "none of the {} pods in question declares {} port {first}",
                pods.len(),
                port.protocol
            );
            let remedy = service_target(cluster, pods, port.protocol, *first).unwrap_or_else(|| {
                format!("a policy needs the pods' own port; declared are: {}", list(pods))
            });
            Some(cluster.finding(LintCode::PortNotExposed, &policy.id, path, reason, remedy))
        }
    }
}

/// Pods that declare nothing may serve anything; but where a Service leads from the rule's port to another one, that is
/// the one that they serve.
fn of_silent(
    cluster: &LintInput<'_>,
    policy: &NetworkPolicy,
    pods: &[&Arc<Pod>],
    (protocol, number): (Protocol, u16),
    path: &str,
) -> Option<LintFinding> {
    let serves = |pod: &&Arc<Pod>| {
        let declares = pod.class.ports.iter().any(|own| own.protocol == protocol && own.port == number);
        let mut behind = cluster.service_ports(pod).filter(|(_, of, ..)| *of == protocol).peekable();
        let is_unknown = behind.peek().is_none();
        let leads_elsewhere = |(_, _, port, target): (_, _, u16, u16)| port == number && target != number;
        let services: Vec<_> = behind.collect();
        let is_target = services.iter().any(|(.., target)| *target == number);
        declares || is_unknown || is_target || !services.into_iter().any(leads_elsewhere)
    };
    if pods.iter().any(serves) {
        return None;
    }
    let reason = format!("none of the {} pods in question serves {protocol} port {number}", pods.len());
    let remedy = service_target(cluster, pods, protocol, number)?;
    Some(cluster.finding(LintCode::PortNotExposed, &policy.id, path, reason, remedy))
}

/// The pods' port, where the number is a Service's.
fn service_target(
    cluster: &LintInput<'_>,
    pods: &[&Arc<Pod>],
    protocol: Protocol,
    number: u16,
) -> Option<String> {
    let mut ports = pods.iter().flat_map(|pod| cluster.service_ports(pod));
    let (service, .., target) = ports.find(|(_, of, port, _)| (*of, *port) == (protocol, number))?;
    Some(format!(
        "{number} is the port of Service {}; a policy needs the pods' own port, {target}",
        service.key
    ))
}

fn list(pods: &[&Arc<Pod>]) -> String {
    let mut declared: Vec<_> = pods.iter().flat_map(|pod| pod.class.ports.iter()).collect();
    declared.sort();
    declared.dedup();
    if declared.is_empty() {
        return "none".to_owned();
    }
    let words = declared.iter().take(8).map(|d| {
        let name = d.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        format!("{}/{}{name}", d.port, d.protocol)
    });
    words.collect::<Vec<_>>().join(", ")
}
