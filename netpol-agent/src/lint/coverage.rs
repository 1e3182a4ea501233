//! What policies leave open or close without saying so: namespaces, directions, workloads.

use std::collections::BTreeMap;

use super::{
    cluster::{DIRECTIONS, LintInput},
    finding::{LintCode, LintFinding},
};
use crate::{
    cluster::ObjectRef,
    model::{FieldPath, LabelSelector, NetworkPolicy, network_policy::PolicyTypes},
};

/// Namespaces of the cluster's own, whose pods are not the user's to isolate.
const SYSTEM: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

pub(super) fn findings(cluster: &LintInput<'_>) -> Vec<LintFinding> {
    let mut findings = default_deny(cluster);
    findings.extend(cluster.policies.iter().filter_map(|policy| open_egress(cluster, policy)));
    findings.extend(cluster.policies.iter().filter_map(|policy| closed_ingress(cluster, policy)));
    findings.extend(unselected(cluster));
    findings
}

fn default_deny(cluster: &LintInput<'_>) -> Vec<LintFinding> {
    let mut findings = Vec::new();
    for namespace in &cluster.namespaces {
        let has_pods = !cluster.selected(&namespace.name, &LabelSelector::default()).is_empty();
        let here = cluster.policies_of(&namespace.name);
        // A namespace without pods may have its policy where its pods are.
        if SYSTEM.contains(&&*namespace.name) || (!has_pods && (here.is_empty() || !cluster.is_whole())) {
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
    // Who writes an empty list of ingress rules speaks of ingress.
    let denies_all = policy.pods.is_empty()
        && policy.ingress.as_ref().is_some_and(Vec::is_empty)
        && !origin.has(&FieldPath::parse("spec.ingress"));
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

/// A policy that speaks of egress alone, and denies all ingress by it. Where another policy isolates the same pods for
/// ingress anyway, it changes nothing.
fn closed_ingress(cluster: &LintInput<'_>, policy: &NetworkPolicy) -> Option<LintFinding> {
    let is_meant = policy.types == PolicyTypes::Written
        || policy.egress.as_ref().is_none_or(Vec::is_empty)
        || policy.ingress.as_ref().is_none_or(|rules| !rules.is_empty());
    if is_meant {
        return None;
    }
    let origin = cluster.state.manifests.origin(&ObjectRef::Policy(policy.id.clone()));
    let others: Vec<&NetworkPolicy> = cluster
        .policies_of(&policy.namespace)
        .iter()
        .map(|other| &***other)
        .filter(|other| other.id != policy.id && other.ingress.is_some())
        .filter(|other| {
            other.types == PolicyTypes::Written || !other.ingress.as_ref().is_none_or(Vec::is_empty)
        })
        .collect();
    let covers = |other: &&NetworkPolicy| other.pods.is_empty() || other.pods == policy.pods;
    let own = cluster.selected(&policy.namespace, &policy.pods);
    let is_isolated = |labels: &crate::model::Labels| others.iter().any(|other| other.pods.matches(labels));
    let changes_nothing =
        others.iter().any(covers) || (!own.is_empty() && own.iter().all(|pod| is_isolated(pod.labels())));
    if changes_nothing || origin.is_some_and(|origin| origin.has(&FieldPath::parse("spec.ingress"))) {
        return None;
    }
    let reason = "it has egress rules only, but without policyTypes it is an ingress policy as well, and denies all ingress of its pods";
    let remedy = "write policyTypes: [Egress] if egress alone is meant, or [Ingress, Egress] to say that all ingress is denied on purpose";
    Some(cluster.finding(
        LintCode::IngressDeniedByDefault,
        &policy.id,
        "spec",
        reason.to_owned(),
        remedy.to_owned(),
    ))
}

/// Workloads that no policy selects, in namespaces where policies select others.
fn unselected(cluster: &LintInput<'_>) -> Vec<LintFinding> {
    let mut findings = Vec::new();
    for namespace in &cluster.namespaces {
        let policies = cluster.policies_of(&namespace.name);
        if policies.is_empty() || SYSTEM.contains(&&*namespace.name) {
            continue;
        }
        let mut open: BTreeMap<String, ObjectRef> = BTreeMap::new();
        for pod in cluster.pods_of(&namespace.name) {
            if !policies.iter().any(|policy| policy.pods.matches(pod.labels())) {
                let name = match &pod.workload {
                    Some(workload) => format!("{} {}/{}", workload.kind, pod.namespace(), workload.name),
                    None => format!("Pod {}", pod.key),
                };
                open.entry(name).or_insert_with(|| ObjectRef::Pod(pod.key.clone()));
            }
        }
        for (name, pod) in open {
            let origin = cluster.state.manifests.origin(&pod);
            findings.push(LintFinding {
                code: LintCode::WorkloadNotSelected,
                severity: LintCode::WorkloadNotSelected.severity(),
                reason: format!(
                    "no NetworkPolicy of namespace {} selects it: all its traffic is allowed",
                    namespace.name
                ),
                remedy: "write a policy for it, or a default deny for the namespace".to_owned(),
                object: Some(name),
                path: FieldPath::default(),
                file: origin.map(|origin| origin.file.to_string()).unwrap_or_default(),
                line: origin.map_or(0, |origin| origin.line),
            });
        }
    }
    findings
}
