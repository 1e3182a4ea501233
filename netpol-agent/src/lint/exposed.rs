//! Pods behind node ports and load balancers: a node may take the source's place, unless externalTrafficPolicy is Local.

use std::{net::IpAddr, sync::Arc};

use super::{
    cluster::{LintInput, peers_path},
    finding::{LintCode, LintFinding},
};
use crate::{
    declared::target,
    model::{
        NetworkPolicy, Node, Pod, PolicyDirection, Protocol, Service,
        network_policy::{IpBlock, Peer, Port, PortNumber, Rule},
        object::Exposure,
    },
    policy::ConnectionPeer,
};

/// So many others are asked whether they are kept out.
const ASKED: usize = 200;

/// A pod that a policy selects, behind a port of a Service that is reached from outside.
struct ExposedPod<'a> {
    service: &'a Arc<Service>,
    pod: &'a Arc<Pod>,
    port: (Protocol, u16),
}

pub(super) fn findings(cluster: &LintInput<'_>) -> Vec<LintFinding> {
    let mut findings = Vec::new();
    for policy in &cluster.policies {
        let rules = policy.rules(PolicyDirection::Ingress).unwrap_or_default();
        if !rules.iter().any(|rule| rule.peers.iter().any(|peer| matches!(peer, Peer::Block(_)))) {
            continue;
        }
        let exposed = exposed(cluster, policy);
        findings.extend(exposed.iter().find_map(|exposed| admits_nodes(cluster, policy, rules, exposed)));
        findings.extend(exposed.iter().find_map(|exposed| rewritten(cluster, policy, rules, exposed)));
    }
    findings
}

fn exposed<'a>(cluster: &LintInput<'a>, policy: &NetworkPolicy) -> Vec<ExposedPod<'a>> {
    let pods = cluster.selected(&policy.namespace, &policy.pods);
    let services = cluster.services.iter().filter(|service| service.exposure == Exposure::NodeTakesSource);
    let mut exposed = Vec::new();
    for service in services {
        let Some(pod) = pods.iter().find(|pod| crate::declared::selects(service, pod)) else { continue };
        for port in &service.ports {
            if let Some(number) = target(pod, port) {
                exposed.push(ExposedPod { service, pod, port: (port.protocol, number) });
            }
        }
    }
    exposed
}

/// The address ranges of rules that admit a port, with their places.
fn blocks<'p>(
    rules: &'p [Rule],
    pod: &'p Pod,
    port: (Protocol, u16),
) -> impl Iterator<Item = (String, &'p IpBlock)> {
    let with_port = rules.iter().enumerate().filter(move |(_, rule)| has_port(rule, pod, port));
    with_port.flat_map(|(i, rule)| {
        rule.peers.iter().enumerate().filter_map(move |(j, peer)| match peer {
            Peer::Block(block) => {
                Some((format!("{}[{j}].ipBlock", peers_path(PolicyDirection::Ingress, i)), block))
            }
            Peer::Pods { .. } => None,
        })
    })
}

fn has_port(rule: &Rule, pod: &Pod, (protocol, number): (Protocol, u16)) -> bool {
    let is_it = |port: &Port| {
        port.protocol == protocol
            && match &port.number {
                PortNumber::Any => true,
                PortNumber::Range(first, last) => (*first..=*last).contains(&number),
                PortNumber::Named(name) => pod.class.ports.iter().any(|own| {
                    own.name.as_ref() == Some(name) && own.protocol == protocol && own.port == number
                }),
            }
    };
    rule.ports.is_empty() || rule.ports.iter().any(is_it)
}

/// A range that admits nodes, and keeps pods out: through the Service they come with a node's address.
fn admits_nodes(
    cluster: &LintInput<'_>,
    policy: &NetworkPolicy,
    rules: &[Rule],
    exposed: &ExposedPod<'_>,
) -> Option<LintFinding> {
    let snapshot = cluster.state.snapshot();
    let mut nodes: Vec<_> = snapshot.nodes().collect();
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    let admitted = |block: &IpBlock| {
        nodes.iter().find_map(|node| node.ips.iter().find(|ip| block.contains(**ip)).map(|ip| (*node, *ip)))
    };
    let (path, (node, ip)) =
        blocks(rules, exposed.pod, exposed.port).find_map(|(path, block)| Some((path, admitted(block)?)))?;
    let kept_out = kept_out(cluster, exposed)?;
    let ExposedPod { service, port: (protocol, number), .. } = exposed;
    let reason = format!(
        "this admits nodes, such as {} ({ip}), and Service {} is reached through them: {kept_out}, which is denied at {protocol} {number}, gets in with a node's address",
        node.name, service.key
    );
    let remedy = format!(
        "set externalTrafficPolicy: Local on Service {}, or add the nodes' addresses to `except` if no client comes through a node",
        service.key
    );
    Some(cluster.finding(LintCode::IpBlockAdmitsNodes, &policy.id, &path, reason, remedy))
}

/// A pod, or an address of pods, that may not reach the exposed pod directly.
fn kept_out(cluster: &LintInput<'_>, exposed: &ExposedPod<'_>) -> Option<String> {
    let is_denied = |source: ConnectionPeer<'_>| {
        let query = crate::policy::Query {
            source,
            destination: ConnectionPeer::Pod(exposed.pod),
            protocol: exposed.port.0,
            port: exposed.port.1,
            via_service: None,
        };
        !cluster.engine().evaluate(&query).ingress.allowed
    };
    let others = cluster.pods.iter().filter(|pod| pod.key != exposed.pod.key).take(ASKED);
    let pod = others.filter(|pod| is_denied(ConnectionPeer::Pod(pod))).map(|pod| pod.key.to_string()).next();
    let mut ranges: Vec<_> =
        cluster.state.snapshot().nodes().flat_map(|node| node.pod_cidrs.iter().copied()).collect();
    ranges.sort();
    pod.or_else(|| {
        let range = ranges.into_iter().find(|range| is_denied(ConnectionPeer::Ip(range.broadcast())))?;
        Some(format!("a pod of {range}"))
    })
}

/// A range for clients, where nodes are kept out: through the Service clients come with a node's address.
fn rewritten(
    cluster: &LintInput<'_>,
    policy: &NetworkPolicy,
    rules: &[Rule],
    exposed: &ExposedPod<'_>,
) -> Option<LintFinding> {
    let snapshot = cluster.state.snapshot();
    let mut nodes: Vec<(&Arc<Node>, IpAddr)> =
        snapshot.nodes().filter_map(|node| Some((node, *node.ips.first()?))).collect();
    nodes.sort_by(|a, b| a.0.name.cmp(&b.0.name));
    let is_admitted = |source: ConnectionPeer<'_>| {
        let query = crate::policy::Query {
            source,
            destination: ConnectionPeer::Pod(exposed.pod),
            protocol: exposed.port.0,
            port: exposed.port.1,
            via_service: None,
        };
        cluster.engine().evaluate(&query).ingress.allowed
    };
    // The pod's own node is always admitted.
    let elsewhere = nodes.iter().filter(|(node, _)| exposed.pod.node.as_ref() != Some(&node.name));
    let denied = elsewhere.clone().find(|(node, ip)| !is_admitted(ConnectionPeer::NodeAt(node, *ip)));
    // Where no node is known, none is in a range of public addresses.
    let are_denied =
        denied.is_some() || (nodes.is_empty() && !is_admitted(ConnectionPeer::Ip([0, 0, 0, 0].into())));
    if !are_denied {
        return None;
    }
    let is_for_clients = |block: &IpBlock| {
        let ip = block.cidr.network();
        let is_ours =
            snapshot.is_for_pods(ip) || snapshot.pod_by_ip(ip).is_some() || snapshot.node_by_ip(ip).is_some();
        block.cidr.prefix_len() > 0 && !is_ours && (!nodes.is_empty() || is_public(ip))
    };
    let (path, block) = blocks(rules, exposed.pod, exposed.port).find(|(_, block)| is_for_clients(block))?;
    let service = exposed.service;
    let reason = format!(
        "this admits clients of {}, but Service {} may put a node's address in theirs' place, and nodes are denied",
        block.cidr, service.key
    );
    let remedy = format!(
        "set externalTrafficPolicy: Local on Service {}, so that the pods see the clients' own addresses",
        service.key
    );
    Some(cluster.finding(LintCode::SourceRewritten, &policy.id, &path, reason, remedy))
}

fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let is_shared = matches!(ip.octets(), [100, 64..=127, ..]);
            !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || is_shared)
        }
        IpAddr::V6(ip) => ip.segments().first().is_some_and(|first| first & 0xe000 == 0x2000),
    }
}
