//! Pods in their node's network, which policies neither isolate nor match as peers.

use super::{
    cluster::{DIRECTIONS, LintInput, peers_path, some_of},
    finding::{LintCode, LintFinding, Severity},
};
use crate::model::{NetworkPolicy, network_policy::Peer};

pub(super) fn findings(cluster: &LintInput<'_>) -> Vec<LintFinding> {
    let mut findings = Vec::new();
    for policy in &cluster.policies {
        findings.extend(of_subject(cluster, policy));
        for direction in DIRECTIONS {
            for (i, rule) in policy.rules(direction).unwrap_or_default().iter().enumerate() {
                for (j, peer) in rule.peers.iter().enumerate() {
                    findings.extend(of_peer(
                        cluster,
                        policy,
                        peer,
                        &format!("{}[{j}]", peers_path(direction, i)),
                    ));
                }
            }
        }
    }
    findings
}

fn of_subject(cluster: &LintInput<'_>, policy: &NetworkPolicy) -> Option<LintFinding> {
    let pods = cluster.selected_host_pods(&policy.namespace, &policy.pods);
    let first = pods.first()?;
    let reason = format!(
        "it selects {}, in the node's network, where policies are not enforced as a rule",
        some_of(pods.iter().map(|pod| &*pod.key))
    );
    let remedy = format!(
        "do not rely on the policy for {}: keep its ports closed by other means, or take it out of the node's network",
        first.key
    );
    let (code, path) = (LintCode::HostNetworkPodSelected, "spec.podSelector");
    let finding = cluster.finding(code, &policy.id, path, reason, remedy);
    // A policy for such pods alone is written for them; one for others as well may be thought to hold for all.
    let is_for_others =
        policy.pods.is_empty() || !cluster.selected(&policy.namespace, &policy.pods).is_empty();
    Some(LintFinding { severity: if is_for_others { finding.severity } else { Severity::Info }, ..finding })
}

/// A peer that means pods in their node's network and no others.
fn of_peer(cluster: &LintInput<'_>, policy: &NetworkPolicy, peer: &Peer, path: &str) -> Option<LintFinding> {
    let Peer::Pods { pods, .. } = peer else { return None };
    let matched = cluster.host_peers(policy, peer);
    if matched.is_empty() || pods.is_empty() || !cluster.peers(policy, peer).is_empty() {
        return None;
    }
    let reason = format!(
        "it matches {} alone, in the node's network: its traffic has the node's address, which no selector matches",
        some_of(matched.iter().map(|pod| &*pod.key))
    );
    let remedy = "name the nodes' addresses by ipBlock".to_owned();
    Some(cluster.finding(LintCode::HostNetworkPeer, &policy.id, path, reason, remedy))
}
