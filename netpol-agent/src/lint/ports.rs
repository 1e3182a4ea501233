//! Ports that the pods in question do not serve.

use std::sync::Arc;

use crate::model::{
    NetworkPolicy, Pod, PolicyDirection,
    network_policy::{Port, PortNumber, Rule},
    object::TargetPort,
};

use super::{
    cluster::{DIRECTIONS, LintInput},
    finding::{LintCode, LintFinding},
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
        PolicyDirection::Egress => rule.peers.iter().flat_map(|peer| cluster.peers(policy, peer)).collect(),
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
            if silent || declared.any(|d| d.protocol == port.protocol && (*first..=*last).contains(&d.port)) {
                return None;
            }
            let reason = format!(
                "none of the {} pods in question declares {} port {first}",
                pods.len(),
                port.protocol
            );
            let remedy = service_target(cluster, pods, port, *first).unwrap_or_else(|| {
                format!("a policy needs the pods' own port; declared are: {}", list(pods))
            });
            Some(cluster.finding(LintCode::PortNotExposed, &policy.id, path, reason, remedy))
        }
    }
}

/// The pods' port, where the number is a Service's.
fn service_target(cluster: &LintInput<'_>, pods: &[&Arc<Pod>], port: &Port, number: u16) -> Option<String> {
    let mut services: Vec<_> = cluster.state.snapshot().services().collect();
    services.sort_by(|a, b| a.key.cmp(&b.key));
    services.into_iter().find_map(|service| {
        let selector = service.selector.as_ref()?;
        let behind = |pod: &&&Arc<Pod>| {
            service.namespace == *pod.namespace()
                && selector.iter().all(|(key, value)| pod.labels().get(key) == Some(value))
        };
        pods.iter().find(behind)?;
        let target = service.ports.iter().find(|p| p.port == number && p.protocol == port.protocol)?;
        let target = match &target.target {
            TargetPort::Number(target) => target.to_string(),
            TargetPort::Named(name) => name.to_string(),
        };
        Some(format!("{number} is the port of Service {}; write the pods' own port, {target}", service.key))
    })
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
