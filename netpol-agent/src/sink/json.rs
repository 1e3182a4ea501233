//! The JSON format: one object per line. Its field names are an API: fields are added, never renamed or removed.

use std::{net::IpAddr, sync::Arc};

use serde::Serialize;

use super::format;
use crate::model::{
    Denial, Endpoint, Expected, Finding, FindingKind, Flow, Labels, Observed, Outcome, PolicyRef, RuleRef,
    SocketAddress, Undecidable,
};

#[derive(Serialize)]
struct FlowLine<'a> {
    r#type: &'static str,
    time: String,
    source: EndpointView<'a>,
    destination: EndpointView<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<ServiceView<'a>>,
    protocol: String,
    expected: ExpectedView<'a>,
    observed: ObservedView<'a>,
    outcome: Outcome,
}

#[derive(Serialize)]
struct EndpointView<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<&'a Labels>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workload: Option<WorkloadView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a str>,
    ip: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
}

/// The address that the flow was opened to, if that is a Service's or was translated.
#[derive(Serialize)]
struct ServiceView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    ip: IpAddr,
    port: u16,
}

#[derive(Serialize)]
struct WorkloadView<'a> {
    kind: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
struct ExpectedView<'a> {
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    rules: &'a [RuleRef],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    denials: &'a [Denial],
}

#[derive(Serialize)]
struct ObservedView<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    drop_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hook: Option<&'static str>,
    #[serde(skip_serializing_if = "is_zero")]
    retransmissions: u16,
    #[serde(skip_serializing_if = "is_zero")]
    drops: u32,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    revised: bool,
}

/// A finding, as in lines and in the summary.
#[derive(Serialize)]
pub(in crate::sink) struct FindingLine<'a> {
    r#type: &'static str,
    kind: FindingKind,
    status: &'static str,
    source: FindingEndpointView<'a>,
    destination: FindingEndpointView<'a>,
    protocol: String,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<String>,
    policies: &'a [PolicyRef],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    denials: &'a [Denial],
    evidence: &'a str,
    first_seen: String,
    last_seen: String,
    count: u64,
}

#[derive(Serialize)]
struct FindingEndpointView<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    name: &'a str,
    ip: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
}

fn is_zero<T: PartialEq + Default>(value: &T) -> bool {
    *value == T::default()
}

/// The line for a flow.
pub(in crate::sink) fn flow(flow: &Flow) -> serde_json::Result<String> {
    let attempt = &flow.attempt;
    let has_ports = attempt.tuple.protocol.has_ports();
    serde_json::to_string(&FlowLine {
        r#type: "flow",
        time: flow.time.to_string(),
        source: endpoint_view(&flow.source, attempt.tuple.source, has_ports),
        destination: endpoint_view(&flow.destination, attempt.tuple.destination, has_ports),
        service: service(flow),
        protocol: attempt.tuple.protocol.to_string(),
        expected: expected(&flow.expected),
        observed: observed(flow),
        outcome: flow.outcome,
    })
}

/// The expected verdict, the observation and the outcome of a flow.
#[derive(Serialize)]
struct VerdictView<'a> {
    expected: ExpectedView<'a>,
    observed: ObservedView<'a>,
    outcome: Outcome,
}

/// The fields `expected`, `observed` and `outcome` of a flow's line.
pub(in crate::sink) fn verdict(flow: &Flow) -> serde_json::Result<serde_json::Value> {
    let (expected, observed) = (expected(&flow.expected), observed(flow));
    serde_json::to_value(VerdictView { expected, observed, outcome: flow.outcome })
}

/// The line for a finding.
pub(in crate::sink) fn finding(finding: &Finding) -> serde_json::Result<String> {
    serde_json::to_string(&view(finding))
}

/// A finding as a serialisable value.
pub(in crate::sink) fn view(finding: &Finding) -> FindingLine<'_> {
    let key = &finding.key;
    let has_ports = key.protocol.has_ports();
    let [source, destination] = finding.last;
    let directions: Vec<String> = finding.denials.iter().map(|denial| denial.direction.to_string()).collect();
    FindingLine {
        r#type: "finding",
        kind: key.kind,
        status: finding.status.name(),
        source: finding_endpoint(key.source.kind, &key.source.name, source, has_ports),
        destination: finding_endpoint(key.destination.kind, &key.destination.name, destination, has_ports),
        protocol: key.protocol.to_string(),
        port: key.port,
        direction: (!directions.is_empty()).then(|| directions.join(",")),
        policies: &finding.policies,
        denials: &finding.denials,
        evidence: &finding.evidence,
        first_seen: finding.first_seen.to_string(),
        last_seen: finding.last_seen.to_string(),
        count: finding.count,
    }
}

fn endpoint_view(endpoint: &Endpoint, peer: SocketAddress, has_ports: bool) -> EndpointView<'_> {
    let (namespace, name) = split(endpoint.name());
    let pod = endpoint.pod();
    let workload = pod.and_then(|pod| pod.workload.as_deref());
    EndpointView {
        kind: endpoint.kind(),
        namespace,
        name,
        uid: pod.map(|pod| &*pod.uid).filter(|uid| !uid.is_empty()),
        labels: pod.map(|pod| pod.labels()).filter(|labels| !labels.is_empty()),
        workload: workload.map(|workload| WorkloadView { kind: &workload.kind, name: &workload.name }),
        node: pod.and_then(|pod| pod.node.as_deref()),
        ip: peer.address,
        port: has_ports.then_some(peer.port),
    }
}

fn observed(flow: &Flow) -> ObservedView<'_> {
    let attempt = &flow.attempt;
    ObservedView {
        kind: attempt.observed.name(),
        drop_reason: flow.drop_reason.as_deref(),
        hook: match attempt.observed {
            Observed::Dropped { hook, .. } => Some(hook.name()),
            _ => None,
        },
        retransmissions: attempt.retransmissions,
        drops: attempt.drops,
        revised: attempt.revised,
    }
}

fn service(flow: &Flow) -> Option<ServiceView<'_>> {
    let attempt = &flow.attempt;
    if flow.service.is_none() && attempt.service_address.is_none() {
        return None;
    }
    let (namespace, name) = split(flow.service.as_ref());
    let SocketAddress { address: ip, port } = attempt.service_address.unwrap_or(attempt.tuple.destination);
    Some(ServiceView { namespace, name, ip, port })
}

fn finding_endpoint<'a>(
    kind: &'static str,
    name: &'a Arc<str>,
    last: (IpAddr, u16),
    has_ports: bool,
) -> FindingEndpointView<'a> {
    let (namespace, name) = match kind {
        "pod" | "service" => split(Some(name)),
        _ => (None, Some(&**name)),
    };
    FindingEndpointView {
        kind,
        namespace,
        name: name.unwrap_or_default(),
        ip: last.0,
        port: has_ports.then_some(last.1),
    }
}

/// Splits `namespace/name` into the two parts.
fn split(name: Option<&Arc<str>>) -> (Option<&str>, Option<&str>) {
    match name.map(|name| name.split_once('/').ok_or(&**name)) {
        Some(Ok((namespace, name))) => (Some(namespace), Some(name)),
        Some(Err(name)) => (None, Some(name)),
        None => (None, None),
    }
}

fn expected(expected: &Expected) -> ExpectedView<'_> {
    let (reason, rules, denials): (_, &[RuleRef], &[Denial]) = match expected {
        Expected::Allowed { by } => (None, by, &[]),
        Expected::Denied { by } => (None, &[], by),
        Expected::NotApplicable(why) => (Some(format::not_applicable(*why)), &[], &[]),
        Expected::Undecidable(why) => (Some(format::undecidable(why)), &[], &[]),
    };
    let note = match expected {
        Expected::Undecidable(Undecidable::Undefined(note)) => Some(&**note),
        _ => None,
    };
    ExpectedView { verdict: format::expected(expected), reason, note, rules, denials }
}
