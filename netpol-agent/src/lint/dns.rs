//! Pods that can't resolve names.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use super::{
    cluster::{LintInput, some_of},
    finding::{LintCode, LintFinding},
};
use crate::{
    declared::{selects, target},
    model::{
        Labels, NetworkPolicy, Pod, PolicyDirection, Protocol, Service,
        network_policy::{Peer, Port, PortNumber, Rule},
    },
    policy::ConnectionPeer,
};

/// The port of DNS. Nearly all queries are UDP; TCP is for long answers, and many rules leave it out.
const DNS: (Protocol, u16) = (Protocol::Udp, 53);

/// The port of the DNS pods of OpenShift, behind port 53 of their Service.
const OTHER_DNS_PORT: u16 = 5353;

/// Where node-local DNS caches answer: the address of the Kubernetes add-on, and that of Kubespray.
const NODE_LOCAL: [[u8; 4]; 2] = [[169, 254, 20, 10], [169, 254, 25, 10]];

/// The namespaces of clusters' own DNS.
const NAMESPACES: [&str; 2] = ["kube-system", "openshift-dns"];

/// The Services of clusters' own DNS, wherever they are.
const SERVICES: [&str; 3] = ["kube-dns", "coredns", "dns-default"];

/// A pod that answers queries, and its port.
type Server<'a> = (&'a Arc<Pod>, u16);

/// Pods that policies isolate for egress, and that reach no DNS server.
pub(super) fn findings(cluster: &LintInput<'_>) -> Vec<LintFinding> {
    let servers = servers(cluster);
    let is_cached = cluster.state.snapshot().pods().any(|pod| is_node_local(pod) && !pod.is_finished());
    let mut seen = BTreeSet::new();
    let mut classes = BTreeSet::new();
    let mut findings = Vec::new();
    for pod in &cluster.pods {
        let is_server = servers.iter().any(|(server, _)| server.key == pod.key) || is_dns(pod);
        // Pods of one class are judged alike.
        if is_server || !classes.insert(Arc::as_ptr(&pod.class)) {
            continue;
        }
        let isolating: Vec<&Arc<NetworkPolicy>> = isolating(cluster, pod).collect();
        let Some(first) = isolating.first() else { continue };
        let Some(missing) = missing(cluster, pod, &servers, is_cached) else { continue };
        let names: Vec<String> = isolating.iter().map(|policy| policy.id.to_string()).collect();
        if !seen.insert(names.clone()) {
            continue;
        }
        let Missing { what, remedy } = missing;
        let names = some_of(names.iter().map(String::as_str));
        let reason = format!("{what} denied by {names}: names can't be resolved, by {} for one", pod.key);
        let path = "spec.policyTypes";
        findings.push(cluster.finding(
            LintCode::EgressWithoutDns,
            &first.id,
            path,
            reason,
            remedy.to_owned(),
        ));
    }
    findings
}

/// What is denied, and what to do about it.
struct Missing {
    what: &'static str,
    remedy: &'static str,
}

fn isolating<'a, 'i>(
    cluster: &'i LintInput<'a>,
    pod: &'i Pod,
) -> impl Iterator<Item = &'i Arc<NetworkPolicy>> {
    let here = cluster.policies_of(pod.namespace()).iter().copied();
    here.filter(|policy| policy.egress.is_some() && policy.pods.matches(pod.labels()))
}

fn missing(
    cluster: &LintInput<'_>,
    pod: &Arc<Pod>,
    servers: &[Server<'_>],
    is_cached: bool,
) -> Option<Missing> {
    let admits = |to: ConnectionPeer<'_>, port: u16| admits(cluster, pod, to, (Protocol::Udp, port));
    let reaches_cache = NODE_LOCAL.iter().any(|ip| admits(ConnectionPeer::Ip(IpAddr::from(*ip)), DNS.1));
    if reaches_cache {
        return None;
    }
    if is_cached {
        return Some(Missing {
            what: "egress to the node-local DNS cache (169.254.20.10, UDP 53)",
            remedy: "allow egress to ipBlock 169.254.20.10/32, UDP and TCP 53: the cache answers there in the node's network, and no podSelector matches it",
        });
    }
    let is_reached = if servers.is_empty() {
        admits_somewhere(cluster, pod)
    } else {
        servers.iter().any(|(server, port)| admits(ConnectionPeer::Pod(server), *port))
    };
    (!is_reached).then_some(Missing {
        what: "egress to DNS (UDP 53 and TCP 53)",
        remedy: "allow egress to UDP and TCP 53 of the pods with k8s-app=kube-dns in namespace kube-system (TCP serves long answers)",
    })
}

fn admits(cluster: &LintInput<'_>, pod: &Arc<Pod>, to: ConnectionPeer<'_>, port: (Protocol, u16)) -> bool {
    let query = crate::policy::Query {
        source: ConnectionPeer::Pod(pod),
        destination: to,
        protocol: port.0,
        port: port.1,
        via_service: None,
    };
    cluster.engine().evaluate(&query).egress.allowed
}

/// The pods behind the cluster's DNS Service, each with its port; without such a Service those that are labelled so.
fn servers<'a>(cluster: &LintInput<'a>) -> Vec<Server<'a>> {
    let mut servers: Vec<Server<'a>> = Vec::new();
    for service in cluster.services.iter().filter(|service| is_dns_service(service)) {
        for pod in cluster.pods_of(&service.namespace).iter().filter(|pod| selects(service, pod)) {
            let ports = service.ports.iter().filter(|port| (port.protocol, port.port) == DNS);
            servers.extend(ports.filter_map(|port| Some((*pod, target(pod, port)?))));
        }
    }
    if servers.is_empty() {
        servers.extend(cluster.pods.iter().filter(|pod| is_dns(pod)).map(|pod| (*pod, dns_port(pod))));
    }
    servers
}

fn is_dns_service(service: &Service) -> bool {
    let name = service.key.split_once('/').map_or(&*service.key, |(_, name)| name);
    (NAMESPACES.contains(&&*service.namespace) || SERVICES.contains(&name))
        && service.ports.iter().any(|port| (port.protocol, port.port) == DNS)
}

fn is_dns(pod: &Pod) -> bool {
    let labels: &Labels = pod.labels();
    NAMESPACES.contains(&&**pod.namespace())
        && (matches!(labels.get("k8s-app"), Some("kube-dns" | "coredns"))
            || matches!(labels.get("app.kubernetes.io/name"), Some("coredns"))
            || labels.get("dns.operator.openshift.io/daemonset-dns").is_some())
}

/// The cache has the node's network, and any name a distribution gives it.
fn is_node_local(pod: &Pod) -> bool {
    let labels =
        [pod.labels().get("k8s-app"), pod.labels().get("app.kubernetes.io/name"), pod.labels().get("app")];
    pod.host_network
        && labels
            .into_iter()
            .flatten()
            .any(|label| matches!(label, "node-local-dns" | "nodelocaldns" | "node-local-dns-cache"))
}

/// The port that such a pod declares for DNS.
fn dns_port(pod: &Pod) -> u16 {
    let udp = pod.class.ports.iter().filter(|port| port.protocol == Protocol::Udp);
    let named = udp.clone().find(|port| port.name.as_deref() == Some("dns"));
    let known = udp.clone().find(|port| matches!(port.port, 53 | OTHER_DNS_PORT));
    known.or(named).map_or(DNS.1, |port| port.port)
}

/// Where no DNS server is known: whether any rule may be for one.
fn admits_somewhere(cluster: &LintInput<'_>, pod: &Pod) -> bool {
    let is_dns_namespace = |rule: &Rule| {
        rule.peers.is_empty() || rule.peers.iter().any(|peer| may_be_dns(peer, pod.namespace()))
    };
    let may_be =
        |rule: &Rule| is_dns_namespace(rule) && (rule.ports.is_empty() || rule.ports.iter().any(is_dns_port));
    isolating(cluster, pod).filter_map(|policy| policy.rules(PolicyDirection::Egress)).flatten().any(may_be)
        || cluster.cluster_policies.iter().any(|policy| !policy.egress.is_empty())
}

/// Pods of an application's own namespace are no DNS servers.
fn may_be_dns(peer: &Peer, namespace: &str) -> bool {
    match peer {
        Peer::Block(_) | Peer::Pods { namespaces: Some(_), .. } => true,
        Peer::Pods { namespaces: None, .. } => NAMESPACES.contains(&namespace),
    }
}

fn is_dns_port(port: &Port) -> bool {
    let number = match &port.number {
        PortNumber::Any => true,
        PortNumber::Range(first, last) => {
            [DNS.1, OTHER_DNS_PORT].iter().any(|number| (first..=last).contains(&number))
        }
        PortNumber::Named(name) => name.contains("dns"),
    };
    port.protocol == Protocol::Udp && number
}
