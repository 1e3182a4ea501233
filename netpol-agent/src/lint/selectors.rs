//! Selectors that match nothing, and lists that may not mean what they look like.

use std::collections::BTreeSet;

use super::{
    cluster::{DIRECTIONS, LintInput, peers_path},
    finding::{LintCode, LintFinding, Severity},
    typo::{self, Typo},
};
use crate::model::{
    ClusterPolicy, LabelSelector, Labels, Namespace, NetworkPolicy, PolicyDirection,
    cluster_policy::{PodSet, TierPeer},
    network_policy::Peer,
};

pub(super) fn findings(cluster: &LintInput<'_>) -> Vec<LintFinding> {
    let mut findings = Vec::new();
    for policy in &cluster.policies {
        findings.extend(of_subject(cluster, policy));
        for direction in DIRECTIONS {
            for (i, rule) in policy.rules(direction).unwrap_or_default().iter().enumerate() {
                let path = peers_path(direction, i);
                for (j, peer) in rule.peers.iter().enumerate() {
                    findings.extend(of_peer(cluster, policy, peer, &format!("{path}[{j}]")));
                }
                findings.extend(and_or(cluster, policy, &rule.peers, &path));
            }
        }
    }
    for policy in &cluster.cluster_policies {
        findings.extend(of_set(cluster, policy, &policy.subject, "spec.subject"));
        for direction in DIRECTIONS {
            for (i, rule) in policy.rules(direction).iter().enumerate() {
                findings.extend(of_tier_peers(cluster, policy, direction, i, &rule.peers));
            }
        }
    }
    findings
}

/// A selector that matches nothing. A slip of the pen is a warning. In files, anything else may be meant: what it names may
/// be elsewhere, or come later.
fn severity(cluster: &LintInput<'_>, typo: Option<&Typo>) -> Severity {
    if cluster.is_whole() || typo.is_some() { Severity::Warning } else { Severity::Info }
}

fn remedy(typo: Option<&Typo>, of: &str) -> String {
    match typo {
        Some(typo) => format!("{typo}: correct the selector if that is meant"),
        None => format!("compare the selector with the labels of the {of} that are meant"),
    }
}

fn of_subject(cluster: &LintInput<'_>, policy: &NetworkPolicy) -> Option<LintFinding> {
    let matches = !cluster.selected(&policy.namespace, &policy.pods).is_empty()
        || !cluster.selected_host_pods(&policy.namespace, &policy.pods).is_empty();
    let here = labels_of(cluster, &[&policy.namespace]);
    if cluster.pods.is_empty() || matches || (here.is_empty() && !cluster.is_whole()) {
        return None;
    }
    let reason = if here.is_empty() {
        format!("namespace {} has no pod, so that the policy has no effect", policy.namespace)
    } else {
        format!(
            "{} matches no pod of namespace {}, so that the policy has no effect",
            policy.pods, policy.namespace
        )
    };
    let typo = typo::find(&policy.pods, &here);
    let remedy = remedy(typo.as_ref(), "pods");
    let code = LintCode::SelectorMatchesNoPod;
    let finding = cluster.finding(code, &policy.id, "spec.podSelector", reason, remedy);
    Some(LintFinding { severity: severity(cluster, typo.as_ref()), ..finding })
}

/// The labels of the pods of some namespaces, each set once.
fn labels_of<'a>(cluster: &LintInput<'a>, namespaces: &[&str]) -> Vec<&'a Labels> {
    let pods = namespaces.iter().flat_map(|namespace| cluster.pods_of(namespace));
    let mut seen = BTreeSet::new();
    pods.filter(|pod| seen.insert(std::sync::Arc::as_ptr(&pod.class))).map(|pod| pod.labels()).collect()
}

fn of_peer(cluster: &LintInput<'_>, policy: &NetworkPolicy, peer: &Peer, path: &str) -> Option<LintFinding> {
    let Peer::Pods { namespaces, pods } = peer else { return None };
    let here = cluster.peer_namespaces(policy, peer);
    if let Some(selector) = namespaces
        && here.is_empty()
    {
        let path = format!("{path}.namespaceSelector");
        let reason = format!("no namespace matches {selector}, so that this peer matches nothing");
        return of_namespaces(cluster, selector).map(|remedy| {
            cluster.finding(LintCode::NamespaceSelectorMatchesNothing, &policy.id, &path, reason, remedy)
        });
    }
    if cluster.pods.is_empty()
        || !cluster.peers(policy, peer).is_empty()
        || !cluster.host_peers(policy, peer).is_empty()
    {
        return None;
    }
    let names: Vec<&str> = here.iter().map(|namespace| &*namespace.name).collect();
    let typo = typo::find(pods, &labels_of(cluster, &names));
    let elsewhere =
        cluster.pods.iter().find(|pod| pods.matches(pod.labels())).filter(|_| namespaces.is_none());
    // In files: whoever wants in may be anywhere.
    if typo.is_none() && elsewhere.is_none() && !cluster.is_whole() {
        return None;
    }
    let of = namespaces
        .as_ref()
        .map_or_else(|| format!("namespace {}", policy.namespace), |s| format!("namespaces with {s}"));
    let reason = format!("{pods} matches no pod of {of}, so that this peer matches nothing");
    let remedy = match elsewhere {
        Some(pod) => format!(
            "pods of other namespaces match, such as {}: if they are meant, add a namespaceSelector to the same list item",
            pod.key
        ),
        None => remedy(typo.as_ref(), "pods"),
    };
    let field = if pods.is_empty() { "" } else { ".podSelector" };
    let code = LintCode::SelectorMatchesNoPod;
    let finding = cluster.finding(code, &policy.id, &format!("{path}{field}"), reason, remedy);
    Some(finding)
}

/// What to do about a namespace selector that matches nothing; `None` where what it means may be elsewhere.
fn of_namespaces(cluster: &LintInput<'_>, selector: &LabelSelector) -> Option<String> {
    let labels: Vec<&Labels> = cluster.namespaces.iter().map(|namespace| &namespace.labels).collect();
    let typo = typo::find(selector, &labels);
    if typo.is_none() && !cluster.is_whole() {
        return None;
    }
    Some(match typo {
        Some(_) => remedy(typo.as_ref(), "namespaces"),
        None => format!("label the namespace, or select it by {}", Namespace::NAME_LABEL),
    })
}

/// An item with namespaces alone and one with pods alone, where both in one item would match something, too: that admits
/// far less. With address ranges in the same list, the items are one each on purpose.
fn and_or(cluster: &LintInput<'_>, policy: &NetworkPolicy, peers: &[Peer], path: &str) -> Vec<LintFinding> {
    let mut findings = Vec::new();
    if peers.iter().any(|peer| matches!(peer, Peer::Block(_))) {
        return findings;
    }
    for (j, pair) in peers.windows(2).enumerate() {
        let [Peer::Pods { namespaces: Some(namespaces), pods: all }, Peer::Pods { namespaces: None, pods }] =
            pair
        else {
            continue;
        };
        let both = Peer::Pods { namespaces: Some(namespaces.clone()), pods: pods.clone() };
        if namespaces.is_empty()
            || !all.is_empty()
            || pods.is_empty()
            || cluster.peers(policy, &both).is_empty()
        {
            continue;
        }
        let reason = format!(
            "two list items are ORed: every pod of namespaces with {namespaces}, and also the pods with {pods} of namespace {}",
            policy.namespace
        );
        let remedy = "if pods with that label in those namespaces are meant, remove the dash before podSelector; if not, put podSelector first".to_owned();
        let path = format!("{path}[{}]", j + 1);
        findings.push(cluster.finding(LintCode::AndOrSuspicion, &policy.id, &path, reason, remedy));
    }
    findings
}

fn of_tier_peers(
    cluster: &LintInput<'_>,
    policy: &ClusterPolicy,
    direction: PolicyDirection,
    rule: usize,
    peers: &[TierPeer],
) -> Vec<LintFinding> {
    let path = peers_path(direction, rule);
    let of_one = |(j, peer): (usize, &TierPeer)| {
        let path = format!("{path}[{j}]");
        match peer {
            TierPeer::Pods(set) => of_set(cluster, policy, set, &path),
            TierPeer::Unknown => {
                let reason = "this kind of peer is not known, so that the rule fails closed: an accepting rule matches nothing, any other denies all".to_owned();
                let remedy = "use namespaces, pods, and for egress networks, nodes or domainNames".to_owned();
                Some(cluster.finding(LintCode::UnknownPeer, &policy.id, &path, reason, remedy))
            }
            TierPeer::Networks(_) | TierPeer::Nodes(_) | TierPeer::DomainNames(_) => None,
        }
    };
    peers.iter().enumerate().filter_map(of_one).collect()
}

fn of_set(cluster: &LintInput<'_>, policy: &ClusterPolicy, set: &PodSet, path: &str) -> Option<LintFinding> {
    let namespaces: Vec<&str> = cluster
        .namespaces
        .iter()
        .filter(|n| set.namespaces.matches(&n.labels))
        .map(|namespace| &*namespace.name)
        .collect();
    if namespaces.is_empty() {
        let remedy = of_namespaces(cluster, &set.namespaces).filter(|_| !cluster.namespaces.is_empty())?;
        let reason = format!("no namespace matches {}", set.namespaces);
        return Some(cluster.finding(
            LintCode::NamespaceSelectorMatchesNothing,
            &policy.id,
            path,
            reason,
            remedy,
        ));
    }
    let labels = labels_of(cluster, &namespaces);
    if cluster.pods.is_empty() || set.pods.is_empty() || labels.iter().any(|labels| set.pods.matches(labels))
    {
        return None;
    }
    let typo = typo::find(&set.pods, &labels);
    if typo.is_none() && !cluster.is_whole() {
        return None;
    }
    let reason = format!("{} matches no pod of the namespaces with {}", set.pods, set.namespaces);
    let remedy = remedy(typo.as_ref(), "pods");
    Some(cluster.finding(LintCode::SelectorMatchesNoPod, &policy.id, path, reason, remedy))
}
