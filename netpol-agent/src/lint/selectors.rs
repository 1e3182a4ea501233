//! Selectors that match nothing, and lists that may not mean what they look like.

use crate::model::{
    LabelSelector, Labels, NetworkPolicy, PolicyDirection, Requirement, Values,
    cluster_policy::{PodSet, TierPeer},
    network_policy::Peer,
};

use super::{
    cluster::{DIRECTIONS, LintInput, peers_path},
    finding::{LintCode, LintFinding},
};
use crate::declared::distance;

pub(super) fn findings(cluster: &LintInput<'_>) -> Vec<LintFinding> {
    let mut findings = Vec::new();
    for policy in &cluster.policies {
        of_subject(cluster, policy, &mut findings);
        for direction in DIRECTIONS {
            for (i, rule) in policy.rules(direction).unwrap_or_default().iter().enumerate() {
                let path = peers_path(direction, i);
                for (j, peer) in rule.peers.iter().enumerate() {
                    of_peer(cluster, policy, peer, &format!("{path}[{j}]"), &mut findings);
                }
                and_or(cluster, policy, &rule.peers, &path, &mut findings);
            }
        }
    }
    for policy in &cluster.cluster_policies {
        of_set(cluster, policy, &policy.subject, "spec.subject", &mut findings);
        for direction in DIRECTIONS {
            for (i, rule) in policy.rules(direction).iter().enumerate() {
                of_tier_peers(cluster, policy, direction, i, &rule.peers, &mut findings);
            }
        }
    }
    findings
}

fn of_subject(cluster: &LintInput<'_>, policy: &NetworkPolicy, findings: &mut Vec<LintFinding>) {
    if cluster.pods.is_empty() || !cluster.selected(&policy.namespace, &policy.pods).is_empty() {
        return;
    }
    let here: Vec<&Labels> = cluster
        .selected(&policy.namespace, &LabelSelector::default())
        .iter()
        .map(|pod| pod.labels())
        .collect();
    let reason = if here.is_empty() {
        format!("namespace {} has no pod, so that the policy has no effect", policy.namespace)
    } else {
        format!(
            "{} matches no pod of namespace {}, so that the policy has no effect",
            policy.pods, policy.namespace
        )
    };
    let remedy = remedy(&policy.pods, &here, "remove the policy, or name labels that its pods have");
    findings.push(cluster.finding(
        LintCode::SelectorMatchesNoPod,
        &policy.id,
        "spec.podSelector",
        reason,
        remedy,
    ));
}

fn of_peer(
    cluster: &LintInput<'_>,
    policy: &NetworkPolicy,
    peer: &Peer,
    path: &str,
    findings: &mut Vec<LintFinding>,
) {
    let Peer::Pods { namespaces, pods } = peer else { return };
    if let Some(selector) = namespaces
        && !cluster.namespaces.iter().any(|namespace| selector.matches(&namespace.labels))
    {
        let labels: Vec<&Labels> = cluster.namespaces.iter().map(|namespace| &namespace.labels).collect();
        let remedy =
            remedy(selector, &labels, "label the namespace, or select it by kubernetes.io/metadata.name");
        let reason = format!("no namespace matches {selector}, so that this peer matches nothing");
        let path = format!("{path}.namespaceSelector");
        findings.push(cluster.finding(
            LintCode::NamespaceSelectorMatchesNothing,
            &policy.id,
            &path,
            reason,
            remedy,
        ));
        return;
    }
    if cluster.pods.is_empty() || !cluster.peers(policy, peer).is_empty() {
        return;
    }
    let all = Peer::Pods { namespaces: namespaces.clone(), pods: LabelSelector::default() };
    let candidates = cluster.peers(policy, &all);
    let labels: Vec<&Labels> = candidates.iter().map(|pod| pod.labels()).collect();
    let of = namespaces
        .as_ref()
        .map_or_else(|| format!("namespace {}", policy.namespace), |s| format!("namespaces with {s}"));
    let reason = format!("{pods} matches no pod of {of}, so that this peer matches nothing");
    let elsewhere = cluster.pods.iter().any(|pod| pods.matches(pod.labels()));
    let hint = if elsewhere && namespaces.is_none() {
        "pods of other namespaces match: add a namespaceSelector to the same list item"
    } else {
        "name labels that the pods have"
    };
    let field = if pods.is_empty() { "" } else { ".podSelector" };
    let remedy =
        if elsewhere && namespaces.is_none() { hint.to_owned() } else { remedy(pods, &labels, hint) };
    findings.push(cluster.finding(
        LintCode::SelectorMatchesNoPod,
        &policy.id,
        &format!("{path}{field}"),
        reason,
        remedy,
    ));
}

/// An item with namespaces alone and one with pods alone: each admits far more than both in one item would.
fn and_or(
    cluster: &LintInput<'_>,
    policy: &NetworkPolicy,
    peers: &[Peer],
    path: &str,
    findings: &mut Vec<LintFinding>,
) {
    for (j, pair) in peers.windows(2).enumerate() {
        let [Peer::Pods { namespaces: Some(namespaces), pods: all }, Peer::Pods { namespaces: None, pods }] =
            pair
        else {
            continue;
        };
        if namespaces.is_empty() || !all.is_empty() || pods.is_empty() {
            continue;
        }
        let reason = format!(
            "two list items are ORed: every pod of namespaces with {namespaces}, and also the pods with {pods} of namespace {}",
            policy.namespace
        );
        let remedy = "if pods with that label in those namespaces are meant, remove the dash before podSelector; if not, put podSelector first".to_owned();
        findings.push(cluster.finding(
            LintCode::AndOrSuspicion,
            &policy.id,
            &format!("{path}[{}]", j + 1),
            reason,
            remedy,
        ));
    }
}

fn of_tier_peers(
    cluster: &LintInput<'_>,
    policy: &crate::model::ClusterPolicy,
    direction: PolicyDirection,
    rule: usize,
    peers: &[TierPeer],
    findings: &mut Vec<LintFinding>,
) {
    let path = peers_path(direction, rule);
    for (j, peer) in peers.iter().enumerate() {
        let path = format!("{path}[{j}]");
        match peer {
            TierPeer::Pods(set) => of_set(cluster, policy, set, &path, findings),
            TierPeer::Unknown => {
                let reason = "this kind of peer is not known, so that the rule fails closed: an accepting rule matches nothing, any other denies all".to_owned();
                let remedy = "use namespaces, pods, and for egress networks, nodes or domainNames".to_owned();
                findings.push(cluster.finding(LintCode::UnknownPeer, &policy.id, &path, reason, remedy));
            }
            TierPeer::Networks(_) | TierPeer::Nodes(_) | TierPeer::DomainNames(_) => {}
        }
    }
}

fn of_set(
    cluster: &LintInput<'_>,
    policy: &crate::model::ClusterPolicy,
    set: &PodSet,
    path: &str,
    findings: &mut Vec<LintFinding>,
) {
    let namespaces: Vec<_> =
        cluster.namespaces.iter().filter(|n| set.namespaces.matches(&n.labels)).collect();
    if namespaces.is_empty() && !cluster.namespaces.is_empty() {
        let labels: Vec<&Labels> = cluster.namespaces.iter().map(|namespace| &namespace.labels).collect();
        let remedy = remedy(
            &set.namespaces,
            &labels,
            "label the namespace, or select it by kubernetes.io/metadata.name",
        );
        let reason = format!("no namespace matches {}", set.namespaces);
        findings.push(cluster.finding(
            LintCode::NamespaceSelectorMatchesNothing,
            &policy.id,
            path,
            reason,
            remedy,
        ));
        return;
    }
    let candidates: Vec<_> =
        namespaces.iter().flat_map(|n| cluster.selected(&n.name, &LabelSelector::default())).collect();
    if cluster.pods.is_empty()
        || set.pods.is_empty()
        || candidates.iter().any(|pod| set.pods.matches(pod.labels()))
    {
        return;
    }
    let labels: Vec<&Labels> = candidates.iter().map(|pod| pod.labels()).collect();
    let reason = format!("{} matches no pod of the namespaces with {}", set.pods, set.namespaces);
    let remedy = remedy(&set.pods, &labels, "name labels that the pods have");
    findings.push(cluster.finding(LintCode::SelectorMatchesNoPod, &policy.id, path, reason, remedy));
}

/// What to do about a selector that matches none of these: the nearest label that one of them has.
fn remedy(selector: &LabelSelector, candidates: &[&Labels], otherwise: &str) -> String {
    let unmet = |requirement: &&Requirement| !candidates.iter().any(|labels| requirement.matches(labels));
    let wanted =
        selector.requirements().iter().filter(unmet).find_map(|requirement| match &requirement.values {
            Values::In(values) => values.first().map(|value| (&*requirement.key, &**value)),
            Values::Exists => Some((&*requirement.key, "")),
            Values::NotIn(_) | Values::DoesNotExist => None,
        });
    let Some((key, value)) = wanted else { return otherwise.to_owned() };
    let there = candidates.iter().flat_map(|labels| labels.iter());
    let cost =
        |(k, v): (&str, &str)| distance(key, k) + if value.is_empty() { 0 } else { distance(value, v) };
    match there.map(|label| (cost(label), label)).min() {
        Some((cost, (k, v))) if cost <= 1 + (key.len() + value.len()) / 3 => {
            format!("the nearest label that is there is {k}={v}: write that if it is meant")
        }
        _ => otherwise.to_owned(),
    }
}
