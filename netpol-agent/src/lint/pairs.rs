//! Connections that one side admits and the other denies.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    model::{
        NetworkPolicy, Pod, PolicyDirection, Protocol,
        network_policy::{PortNumber, Rule},
    },
    policy::{ConnectionPeer, DirectionVerdict, Query},
};

use super::{
    cluster::{DIRECTIONS, LintInput, peers_path},
    finding::{LintCode, LintFinding},
};

pub(super) fn findings(cluster: &LintInput<'_>) -> Vec<LintFinding> {
    let mut findings = Vec::new();
    for policy in &cluster.policies {
        for direction in DIRECTIONS {
            for (i, rule) in policy.rules(direction).unwrap_or_default().iter().enumerate() {
                findings.extend(of_rule(cluster, policy, direction, i, rule));
            }
        }
    }
    findings
}

/// The first pair that a rule admits in vain. A rule for everyone, or with a peer for all pods, promises nothing to
/// anyone in particular.
fn of_rule(
    cluster: &LintInput<'_>,
    policy: &NetworkPolicy,
    direction: PolicyDirection,
    index: usize,
    rule: &Rule,
) -> Option<LintFinding> {
    let own = one_of_each_class(cluster.selected(&policy.namespace, &policy.pods));
    for (j, peer) in rule.peers.iter().enumerate() {
        for other in one_of_each_class(cluster.peers(policy, peer)) {
            for pod in own.iter().filter(|pod| pod.key != other.key) {
                let (from, to) = match direction {
                    PolicyDirection::Ingress => (other, *pod),
                    PolicyDirection::Egress => (*pod, other),
                };
                let (protocol, port) = some_port(rule, to)?;
                let (source, destination) = (ConnectionPeer::Pod(from), ConnectionPeer::Pod(to));
                let query = Query { source, destination, protocol, port, via_service: None };
                let verdict = cluster.engine().evaluate(&query);
                let (this, that) = match direction {
                    PolicyDirection::Ingress => (&verdict.ingress, &verdict.egress),
                    PolicyDirection::Egress => (&verdict.egress, &verdict.ingress),
                };
                if this.allowed && !that.allowed && verdict.defined() {
                    let path = format!("{}[{j}]", peers_path(direction, index));
                    return Some(finding(cluster, policy, &path, from, to, (protocol, port), that));
                }
            }
        }
    }
    None
}

fn finding(
    cluster: &LintInput<'_>,
    policy: &NetworkPolicy,
    path: &str,
    from: &Pod,
    to: &Pod,
    (protocol, port): (Protocol, u16),
    denied: &DirectionVerdict<'_>,
) -> LintFinding {
    let by: Vec<String> = match denied.tier_rule {
        Some(rule) => vec![rule.policy.id.to_string()],
        None => denied.isolating().iter().map(|policy| policy.id.to_string()).collect(),
    };
    let subject = denied.subject.map(|pod| pod.key.to_string()).unwrap_or_default();
    let reason = format!(
        "this admits {} -> {} {protocol} {port}, but {} of {subject} is denied by {}",
        from.key,
        to.key,
        denied.direction,
        by.join(", ")
    );
    let remedy = format!("add the {} rule for {subject}, or drop this one", denied.direction);
    cluster.finding(LintCode::OneSidedPair, &policy.id, path, reason, remedy)
}

fn one_of_each_class(pods: Vec<&Arc<Pod>>) -> Vec<&Arc<Pod>> {
    let mut seen = BTreeSet::new();
    pods.into_iter().filter(|pod| seen.insert(Arc::as_ptr(&pod.class))).collect()
}

/// A port that the rule admits: its first, or one that the destination declares.
fn some_port(rule: &Rule, to: &Pod) -> Option<(Protocol, u16)> {
    let declared = to.class.ports.first().map(|port| (port.protocol, port.port));
    let Some(port) = rule.ports.first() else { return Some(declared.unwrap_or((Protocol::Tcp, 80))) };
    match &port.number {
        PortNumber::Range(first, _) => Some((port.protocol, *first)),
        PortNumber::Any => Some((port.protocol, declared.map_or(80, |(_, port)| port))),
        PortNumber::Named(name) => {
            let named =
                to.class.ports.iter().find(|d| d.name.as_ref() == Some(name) && d.protocol == port.protocol);
            named.map(|d| (d.protocol, d.port))
        }
    }
}
