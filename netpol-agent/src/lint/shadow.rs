//! Rules that other rules make superfluous.

use crate::model::{
    ClusterPolicy, NetworkPolicy, PolicyDirection,
    cluster_policy::{TierPeer, TierPort, TierRule},
    network_policy::{Peer, Port, PortNumber, Rule},
};

use super::{
    cluster::{DIRECTIONS, LintInput},
    finding::{LintCode, LintFinding},
};

pub(super) fn findings(cluster: &LintInput<'_>) -> Vec<LintFinding> {
    let mut findings = Vec::new();
    for direction in DIRECTIONS {
        findings.extend(cluster.policies.iter().flat_map(|policy| in_policy(cluster, policy, direction)));
        findings
            .extend(cluster.cluster_policies.iter().flat_map(|policy| in_tier(cluster, policy, direction)));
    }
    findings
}

/// Rules of a NetworkPolicy are a union: one that admits a part of what another admits adds nothing.
fn in_policy(
    cluster: &LintInput<'_>,
    policy: &NetworkPolicy,
    direction: PolicyDirection,
) -> Vec<LintFinding> {
    let rules = policy.rules(direction).unwrap_or_default();
    let shadowed = |(i, rule): (usize, &Rule)| {
        // Of two that are the same, the later one is superfluous.
        let by = rules
            .iter()
            .enumerate()
            .position(|(j, other)| j != i && covers(other, rule) && !(j > i && covers(rule, other)))?;
        let path = format!("spec.{direction}[{i}]");
        let reason = format!("rule {by} of the same list admits all that this one does");
        Some(cluster.finding(
            LintCode::RuleShadowed,
            &policy.id,
            &path,
            reason,
            "remove one of the two".to_owned(),
        ))
    };
    rules.iter().enumerate().filter_map(shadowed).collect()
}

fn covers(wide: &Rule, narrow: &Rule) -> bool {
    let peers = wide.peers.is_empty()
        || (!narrow.peers.is_empty()
            && narrow.peers.iter().all(|n| wide.peers.iter().any(|w| covers_peer(w, n))));
    let ports = wide.ports.is_empty()
        || (!narrow.ports.is_empty()
            && narrow.ports.iter().all(|n| wide.ports.iter().any(|w| covers_port(w, n))));
    peers && ports
}

fn covers_peer(wide: &Peer, narrow: &Peer) -> bool {
    match (wide, narrow) {
        (Peer::Block(wide), Peer::Block(narrow)) => {
            wide == narrow || (wide.except.is_empty() && wide.cidr.contains(&narrow.cidr))
        }
        (Peer::Pods { namespaces: Some(all), pods }, Peer::Pods { .. })
            if all.is_empty() && pods.is_empty() =>
        {
            true
        }
        (Peer::Pods { namespaces, pods }, Peer::Pods { namespaces: others, pods: narrow }) => {
            namespaces == others && (pods.is_empty() || pods == narrow)
        }
        _ => false,
    }
}

fn covers_port(wide: &Port, narrow: &Port) -> bool {
    wide.protocol == narrow.protocol
        && match (&wide.number, &narrow.number) {
            (PortNumber::Any, _) => true,
            (PortNumber::Range(first, last), PortNumber::Range(a, b)) => first <= a && b <= last,
            (wide, narrow) => wide == narrow,
        }
}

/// Rules of a tier are a list: one whose connections an earlier rule takes is never reached.
fn in_tier(cluster: &LintInput<'_>, policy: &ClusterPolicy, direction: PolicyDirection) -> Vec<LintFinding> {
    let rules = policy.rules(direction);
    let shadowed = |(i, rule): (usize, &TierRule)| {
        let by = rules.iter().take(i).position(|earlier| takes_all(earlier, rule))?;
        let path = format!("spec.{direction}[{i}]");
        let reason = format!("rule {by} takes all that this one would match, so that it is never reached");
        Some(cluster.finding(
            LintCode::RuleShadowed,
            &policy.id,
            &path,
            reason,
            "move it before the other, or remove it".to_owned(),
        ))
    };
    rules.iter().enumerate().filter_map(shadowed).collect()
}

fn takes_all(earlier: &TierRule, later: &TierRule) -> bool {
    let known = |rule: &TierRule| !rule.peers.contains(&TierPeer::Unknown);
    let peers = later.peers.iter().all(|n| earlier.peers.iter().any(|w| takes_peer(w, n)));
    let ports = match (&earlier.ports, &later.ports) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => narrow.iter().all(|n| wide.iter().any(|w| takes_port(w, n))),
    };
    known(earlier) && known(later) && peers && ports
}

fn takes_peer(wide: &TierPeer, narrow: &TierPeer) -> bool {
    match (wide, narrow) {
        (TierPeer::Pods(wide), TierPeer::Pods(narrow)) => {
            (wide.namespaces.is_empty() || wide.namespaces == narrow.namespaces)
                && (wide.pods.is_empty() || wide.pods == narrow.pods)
        }
        (TierPeer::Networks(wide), TierPeer::Networks(narrow)) => {
            narrow.iter().all(|n| wide.iter().any(|w| w.contains(n)))
        }
        (wide, narrow) => wide == narrow,
    }
}

fn takes_port(wide: &TierPort, narrow: &TierPort) -> bool {
    match (wide, narrow) {
        (TierPort::Port(wide), TierPort::Port(narrow)) => covers_port(wide, narrow),
        (wide, narrow) => wide == narrow,
    }
}
