//! Cluster-wide policies of one priority that contradict each other: the API leaves open which one wins.

use super::{
    cluster::{DIRECTIONS, LintInput},
    finding::{LintCode, LintFinding},
};
use crate::model::{
    ClusterPolicy, LabelSelector, PolicyDirection, Values,
    cluster_policy::{Action, PodSet, TierPeer, TierPort, TierRule},
    network_policy::{Port, PortNumber},
};

pub(super) fn findings(cluster: &LintInput<'_>) -> Vec<LintFinding> {
    let mut findings = Vec::new();
    for (at, policy) in cluster.cluster_policies.iter().enumerate() {
        let earlier = cluster.cluster_policies.iter().take(at);
        let rival = earlier.filter(|other| is_rival(other, policy)).find_map(|other| {
            let direction =
                DIRECTIONS.into_iter().find(|direction| contradicts(other, policy, *direction))?;
            Some((other, direction))
        });
        let Some((other, direction)) = rival else { continue };
        let reason = format!(
            "{} has the same priority, {}, and decides otherwise on {direction} of the same pods: which one wins is up to the implementation",
            other.id, policy.priority
        );
        let remedy = "give one of them another priority; the lower number wins".to_owned();
        findings.push(cluster.finding(LintCode::EqualPriority, &policy.id, "spec.priority", reason, remedy));
    }
    findings
}

fn is_rival(a: &ClusterPolicy, b: &ClusterPolicy) -> bool {
    a.id.kind == b.id.kind && a.tier == b.tier && a.priority == b.priority && meets(&a.subject, &b.subject)
}

fn contradicts(a: &ClusterPolicy, b: &ClusterPolicy, direction: PolicyDirection) -> bool {
    let mut pairs = a.rules(direction).iter().flat_map(|a| b.rules(direction).iter().map(move |b| (a, b)));
    pairs.any(|(a, b)| effect(a.action) != effect(b.action) && ports_meet(a, b) && peers_meet(a, b))
}

/// What a rule comes down to, whatever the version calls it.
fn effect(action: Action) -> Action {
    if action == Action::Allow { Action::Accept } else { action }
}

fn peers_meet(a: &TierRule, b: &TierRule) -> bool {
    let mut pairs = a.peers.iter().flat_map(|a| b.peers.iter().map(move |b| (a, b)));
    pairs.any(|(a, b)| match (a, b) {
        (TierPeer::Pods(a), TierPeer::Pods(b)) => meets(a, b),
        (TierPeer::Networks(a), TierPeer::Networks(b)) => {
            a.iter().any(|a| b.iter().any(|b| a.contains(b) || b.contains(a)))
        }
        (TierPeer::Nodes(a), TierPeer::Nodes(b)) => may_both_match(a, b),
        (TierPeer::DomainNames(_) | TierPeer::Unknown, _)
        | (_, TierPeer::DomainNames(_) | TierPeer::Unknown) => false,
        // A range may be of pods or nodes.
        (TierPeer::Networks(_), _) | (_, TierPeer::Networks(_)) => true,
        (TierPeer::Pods(_), TierPeer::Nodes(_)) | (TierPeer::Nodes(_), TierPeer::Pods(_)) => false,
    })
}

fn meets(a: &PodSet, b: &PodSet) -> bool {
    may_both_match(&a.namespaces, &b.namespaces) && may_both_match(&a.pods, &b.pods)
}

/// Whether any labels could match both: they can't where both ask for other values of one label.
fn may_both_match(a: &LabelSelector, b: &LabelSelector) -> bool {
    let mut pairs = a.requirements().iter().flat_map(|a| b.requirements().iter().map(move |b| (a, b)));
    !pairs.any(|(a, b)| {
        a.key == b.key
            && match (&a.values, &b.values) {
                (Values::In(a), Values::In(b)) => !a.iter().any(|value| b.contains(value)),
                (Values::In(a), Values::NotIn(b)) | (Values::NotIn(b), Values::In(a)) => {
                    a.iter().all(|value| b.contains(value))
                }
                (Values::DoesNotExist, Values::In(_) | Values::Exists)
                | (Values::In(_) | Values::Exists, Values::DoesNotExist) => true,
                _ => false,
            }
    })
}

fn ports_meet(a: &TierRule, b: &TierRule) -> bool {
    match (&a.ports, &b.ports) {
        (Some(a), Some(b)) => a.iter().any(|a| b.iter().any(|b| port_meets(a, b))),
        _ => true,
    }
}

fn port_meets(a: &TierPort, b: &TierPort) -> bool {
    match (a, b) {
        (TierPort::Port(a), TierPort::Port(b)) => a.protocol == b.protocol && numbers_meet(a, b),
        _ => true,
    }
}

fn numbers_meet(a: &Port, b: &Port) -> bool {
    match (&a.number, &b.number) {
        (PortNumber::Range(first, last), PortNumber::Range(other_first, other_last)) => {
            first <= other_last && other_first <= last
        }
        _ => true,
    }
}
