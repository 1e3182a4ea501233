//! Connections that one side admits and the other denies.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    cluster::{DIRECTIONS, LintInput, peers_path},
    finding::{LintCode, LintFinding},
};
use crate::{
    model::{
        NetworkPolicy, Pod, PolicyDirection, Protocol,
        network_policy::{Peer, PortNumber, Rule},
    },
    policy::{ConnectionPeer, DirectionVerdict},
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

/// So many pairs of a rule are looked at: where labels are many, the first tell enough.
const PAIRS: usize = 10_000;

/// The first pair that a rule admits in vain. A rule for everyone, or for all pods of namespaces, promises nothing to
/// anyone in particular; nor does a policy for all pods of its namespace, as long as it is of use to some.
fn of_rule(
    cluster: &LintInput<'_>,
    policy: &NetworkPolicy,
    direction: PolicyDirection,
    index: usize,
    rule: &Rule,
) -> Option<LintFinding> {
    let own = one_of_each_class(cluster.selected(&policy.namespace, &policy.pods));
    for (j, peer) in rule.peers.iter().enumerate() {
        if matches!(peer, Peer::Pods { pods, .. } if pods.is_empty()) {
            continue;
        }
        let others = one_of_each_class(cluster.peers(policy, peer));
        let pairs = others.iter().flat_map(|other| own.iter().map(move |pod| (*pod, *other)));
        let pairs = pairs.filter(|(pod, other)| pod.key != other.key).take(PAIRS);
        let mut in_vain = None;
        let mut is_of_use = false;
        for (pod, other) in pairs {
            let (from, to) = match direction {
                PolicyDirection::Ingress => (other, pod),
                PolicyDirection::Egress => (pod, other),
            };
            let Some(port) = some_port(rule, to) else { continue };
            let verdict = cluster.ask(ConnectionPeer::Pod(from), ConnectionPeer::Pod(to), port);
            let (this, that) = match direction {
                PolicyDirection::Ingress => (&verdict.ingress, &verdict.egress),
                PolicyDirection::Egress => (&verdict.egress, &verdict.ingress),
            };
            if this.allowed && !that.allowed && verdict.defined() {
                in_vain = in_vain.or(Some((from, to, port, *that)));
                if !policy.pods.is_empty() {
                    break;
                }
            }
            is_of_use |= verdict.allowed();
        }
        let of_all = policy.pods.is_empty();
        if let Some((from, to, port, denied)) = in_vain.filter(|_| !of_all || !is_of_use) {
            let path = format!("{}[{j}]", peers_path(direction, index));
            return Some(finding(cluster, policy, &path, from, to, port, &denied));
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
    let remedy = format!(
        "if the connection is meant, {subject} needs an {} rule for it; if not, this rule is of no use",
        denied.direction
    );
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
