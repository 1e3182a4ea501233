//! What policies leave open: namespaces, directions, name resolution.

use std::collections::BTreeSet;

use crate::{
    cluster::ObjectRef,
    model::{
        FieldPath, LabelSelector, NetworkPolicy, Pod, PolicyDirection, Protocol,
        network_policy::{PolicyTypes, Port, PortNumber},
    },
    policy::{ConnectionPeer, DecidedBy, Query, Verdict},
};

use super::{
    cluster::{DIRECTIONS, LintInput},
    finding::{LintCode, LintFinding},
};

/// Namespaces of the cluster's own, whose pods are not the user's to isolate.
const SYSTEM: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

const DNS: [(Protocol, u16); 2] = [(Protocol::Udp, 53), (Protocol::Tcp, 53)];

pub(super) fn findings(cluster: &LintInput<'_>) -> Vec<LintFinding> {
    let mut findings = default_deny(cluster);
    findings.extend(cluster.policies.iter().filter_map(|policy| open_egress(cluster, policy)));
    findings.extend(without_dns(cluster));
    findings
}

fn default_deny(cluster: &LintInput<'_>) -> Vec<LintFinding> {
    let mut findings = Vec::new();
    for namespace in &cluster.namespaces {
        let has_pods = !cluster.selected(&namespace.name, &LabelSelector::default()).is_empty();
        let here: Vec<_> =
            cluster.policies.iter().filter(|policy| policy.namespace == namespace.name).collect();
        if SYSTEM.contains(&&*namespace.name) || (!has_pods && here.is_empty()) {
            continue;
        }
        let isolates_all =
            |direction| here.iter().any(|policy| policy.pods.is_empty() && policy.rules(direction).is_some());
        let open: Vec<String> = DIRECTIONS
            .into_iter()
            .filter(|d| !isolates_all(*d))
            .map(|direction| direction.to_string())
            .collect();
        if open.is_empty() {
            continue;
        }
        let reference = ObjectRef::Namespace(namespace.name.clone());
        let origin = cluster.state.manifests.origin(&reference);
        // A namespace without an object of its own is pointed at by its first policy or not at all.
        let first = here
            .first()
            .and_then(|policy| cluster.state.manifests.origin(&ObjectRef::Policy(policy.id.clone())));
        let place = origin.or(first);
        findings.push(LintFinding {
            code: LintCode::NamespaceWithoutDefaultDeny,
            severity: LintCode::NamespaceWithoutDefaultDeny.severity(),
            object: Some(reference.to_string()),
            path: FieldPath::default(),
            file: place.map(|origin| origin.file.to_string()).unwrap_or_default(),
            line: place.map_or(0, |origin| origin.line),
            reason: format!("no policy selects all pods of the namespace for {}: pods that no other policy selects are open", open.join(" and ")),
            remedy: format!("add a NetworkPolicy with `podSelector: {{}}` and policyTypes [{}], without rules", types(&open)),
        });
    }
    findings
}

fn types(open: &[String]) -> String {
    let named = open.iter().map(|direction| if direction == "ingress" { "Ingress" } else { "Egress" });
    named.collect::<Vec<_>>().join(", ")
}

/// A policy that looks as if it spoke of egress, and does not.
fn open_egress(cluster: &LintInput<'_>, policy: &NetworkPolicy) -> Option<LintFinding> {
    if policy.types == PolicyTypes::Written || policy.egress.is_some() {
        return None;
    }
    let origin = cluster.state.manifests.origin(&ObjectRef::Policy(policy.id.clone()))?;
    let written = origin.has(&FieldPath::parse("spec.egress"));
    let denies_all = policy.ingress.as_ref().is_some_and(Vec::is_empty) && policy.pods.is_empty();
    let (path, reason) = match (written, denies_all) {
        (true, _) => (
            "spec.egress",
            "an empty list of egress rules does not make this an egress policy: egress stays open",
        ),
        (false, true) => ("spec", "without policyTypes this denies ingress only: egress stays open"),
        (false, false) => return None,
    };
    let remedy =
        "write policyTypes: [Ingress, Egress] to deny both, or [Ingress] to say that ingress alone is meant";
    Some(cluster.finding(
        LintCode::EgressOpenByDefault,
        &policy.id,
        path,
        reason.to_owned(),
        remedy.to_owned(),
    ))
}

/// Pods that policies isolate for egress, and that reach no DNS server over UDP or TCP.
fn without_dns(cluster: &LintInput<'_>) -> Vec<LintFinding> {
    let servers: Vec<_> = cluster.pods.iter().filter(|pod| serves_dns(pod)).collect();
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for pod in &cluster.pods {
        let missing: Vec<String> = DNS
            .into_iter()
            .filter(|(protocol, port)| {
                let egress = |to: ConnectionPeer<'_>| {
                    let verdict = ask(cluster, pod, to, *protocol, *port);
                    verdict.egress.allowed || verdict.egress.decided_by == DecidedBy::Default
                };
                let to_server = servers.iter().any(|server| egress(ConnectionPeer::Pod(server)));
                let to_some = servers.is_empty() && admits_somewhere(cluster, pod, *protocol, *port);
                !to_server && !to_some
            })
            .map(|(protocol, port)| format!("{protocol} {port}"))
            .collect();
        let isolating: Vec<_> = cluster
            .policies
            .iter()
            .filter(|policy| policy.namespace == *pod.namespace() && policy.egress.is_some())
            .filter(|policy| policy.pods.matches(pod.labels()))
            .collect();
        let Some(first) = isolating.first().filter(|_| !missing.is_empty() && !serves_dns(pod)) else {
            continue;
        };
        let names: Vec<String> = isolating.iter().map(|policy| policy.id.to_string()).collect();
        if !seen.insert((names.clone(), missing.clone())) {
            continue;
        }
        let reason = format!(
            "egress to DNS ({}) denied by {}: names can't be resolved, by {} for one",
            missing.join(" and "),
            names.join(", "),
            pod.key
        );
        let remedy = "allow egress to UDP and TCP 53 of the pods with k8s-app=kube-dns in namespace kube-system (TCP serves long answers)";
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

fn ask<'a>(
    cluster: &LintInput<'a>,
    from: &'a std::sync::Arc<Pod>,
    to: ConnectionPeer<'a>,
    protocol: Protocol,
    port: u16,
) -> Verdict<'a> {
    let query =
        Query { source: ConnectionPeer::Pod(from), destination: to, protocol, port, via_service: None };
    cluster.engine().evaluate(&query)
}

fn serves_dns(pod: &Pod) -> bool {
    **pod.namespace() == *"kube-system"
        && matches!(pod.labels().get("k8s-app"), Some("kube-dns" | "coredns" | "node-local-dns"))
}

/// Where no DNS server is known: whether any rule has the port, or no policy isolates the pod at all.
fn admits_somewhere(cluster: &LintInput<'_>, pod: &Pod, protocol: Protocol, number: u16) -> bool {
    let mut isolating = cluster
        .policies
        .iter()
        .filter(|policy| policy.namespace == *pod.namespace() && policy.pods.matches(pod.labels()))
        .filter_map(|policy| policy.rules(PolicyDirection::Egress))
        .peekable();
    let open = isolating.peek().is_none();
    let has = |port: &Port| {
        let number = match &port.number {
            PortNumber::Any => true,
            PortNumber::Range(first, last) => (*first..=*last).contains(&number),
            PortNumber::Named(name) => name.contains("dns"),
        };
        port.protocol == protocol && number
    };
    open || isolating.flatten().any(|rule| rule.ports.is_empty() || rule.ports.iter().any(has))
}
