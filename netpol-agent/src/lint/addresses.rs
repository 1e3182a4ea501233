//! Address ranges that reach further than meant.

use crate::model::{
    METADATA_ADDRESSES, NetworkPolicy, PolicyDirection, Protocol,
    network_policy::{IpBlock, Peer, Port, PortNumber, Rule},
};
use ipnet::IpNet;

use super::{
    cluster::{DIRECTIONS, LintInput, peers_path},
    finding::{LintCode, LintFinding},
};

pub(super) fn findings(cluster: &LintInput<'_>) -> Vec<LintFinding> {
    let mut findings = Vec::new();
    for policy in &cluster.policies {
        for (i, rule) in policy.rules(PolicyDirection::Egress).unwrap_or_default().iter().enumerate() {
            findings.extend(metadata(cluster, policy, i, rule));
        }
        for direction in DIRECTIONS {
            for (i, rule) in policy.rules(direction).unwrap_or_default().iter().enumerate() {
                for (j, peer) in rule.peers.iter().enumerate() {
                    let path = format!("{}[{j}].ipBlock.cidr", peers_path(direction, i));
                    findings.extend(covers_cluster(cluster, policy, peer, &path));
                }
            }
        }
    }
    findings
}

fn metadata(
    cluster: &LintInput<'_>,
    policy: &NetworkPolicy,
    index: usize,
    rule: &Rule,
) -> Option<LintFinding> {
    let http = |port: &Port| {
        let number = match port.number {
            PortNumber::Any => true,
            PortNumber::Range(first, last) => (first..=last).contains(&80),
            PortNumber::Named(_) => false,
        };
        port.protocol == Protocol::Tcp && number
    };
    if !rule.ports.is_empty() && !rule.ports.iter().any(http) {
        return None;
    }
    // A rule without peers and ports leaves egress open on purpose: nothing is less open than without the policy.
    if rule.peers.is_empty() && rule.ports.is_empty() {
        return None;
    }
    let base = peers_path(PolicyDirection::Egress, index);
    let (path, address) = if rule.peers.is_empty() {
        (base.trim_end_matches(".to").to_owned(), *METADATA_ADDRESSES.first()?)
    } else {
        rule.peers.iter().enumerate().find_map(|(j, peer)| match peer {
            Peer::Block(block) => {
                let address = METADATA_ADDRESSES.iter().find(|ip| block.contains(**ip))?;
                Some((format!("{base}[{j}].ipBlock"), *address))
            }
            Peer::Pods { .. } => None,
        })?
    };
    let reason = format!("this admits {address}, where clouds hand out credentials");
    let length = if address.is_ipv4() { 32 } else { 128 };
    let remedy = if rule.peers.is_empty() {
        "name the peers that are needed".to_owned()
    } else {
        format!(
            "add {address}/{length} to `except`, unless the pods need it; a wider range may take node-local DNS away"
        )
    };
    Some(cluster.finding(LintCode::MetadataReachable, &policy.id, &path, reason, remedy))
}

fn covers_cluster(
    cluster: &LintInput<'_>,
    policy: &NetworkPolicy,
    peer: &Peer,
    path: &str,
) -> Option<LintFinding> {
    let Peer::Block(block) = peer else { return None };
    let snapshot = cluster.state.snapshot();
    let mut nodes: Vec<_> = snapshot.nodes().collect();
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    let pods = nodes.iter().flat_map(|node| node.pod_cidrs.iter()).find(|cidr| has_some(block, cidr));
    let pod = cluster
        .pods
        .iter()
        .find_map(|pod| pod.ips.iter().find(|ip| block.contains(**ip)).map(|ip| (pod, ip)));
    let mut services: Vec<_> = snapshot.services().collect();
    services.sort_by(|a, b| a.key.cmp(&b.key));
    let service =
        services.iter().find_map(|s| s.ips.iter().find(|ip| block.contains(**ip)).map(|ip| (s, ip)));
    let what = match (pods, pod, service) {
        (Some(cidr), _, _) => format!("the pod network {cidr}"),
        (None, Some((pod, ip)), _) => format!("pod {} ({ip}) for one", pod.key),
        (None, None, Some((service, ip))) => format!("the address of Service {} ({ip}) for one", service.key),
        (None, None, None) => return None,
    };
    let reason = format!(
        "{} covers {what}: an ipBlock is meant for addresses outside the cluster, and engines differ in whether it matches pods",
        block.cidr
    );
    let remedy =
        "add the cluster's pod and Service networks to `except`, and select pods by labels".to_owned();
    Some(cluster.finding(LintCode::CidrCoversCluster, &policy.id, path, reason, remedy))
}

/// Whether any address of a network is in the block: a hole that has all of it leaves none.
fn has_some(block: &IpBlock, network: &IpNet) -> bool {
    let overlap = block.cidr.contains(network) || network.contains(&block.cidr);
    overlap && !block.except.iter().any(|hole| hole.contains(network))
}
