//! The names and texts that text, JSON and metrics have in common.

use std::fmt::Write as _;

use crate::model::{
    Attempt, Denial, Endpoint, Expected, Flow, NotApplicable, PolicyRef, SocketAddress, Undecidable,
};

/// The expectation's name in metrics and JSON.
pub(in crate::sink) const fn expected(expected: &Expected) -> &'static str {
    match expected {
        Expected::Allowed { .. } => "allowed",
        Expected::Denied { .. } => "denied",
        Expected::NotApplicable(_) => "not_applicable",
        Expected::Undecidable(_) => "undecidable",
    }
}

/// The reason why no policy applies to a connection, as a label value of metrics and in JSON.
pub(in crate::sink) const fn not_applicable(why: NotApplicable) -> &'static str {
    match why {
        NotApplicable::NoPod => "no_pod",
        NotApplicable::HostNetwork => "host_network",
        NotApplicable::SelfTraffic => "self_traffic",
        NotApplicable::NodeTraffic => "node_traffic",
    }
}

/// The reason why a verdict is undecidable, as a label value of metrics and in JSON.
pub(in crate::sink) const fn undecidable(why: &Undecidable) -> &'static str {
    match why {
        Undecidable::UnknownAddress => "unknown_address",
        Undecidable::Undefined(_) => "undefined",
        Undecidable::DomainName => "domain_name",
        Undecidable::SpoofedSource => "spoofed_source",
        Undecidable::RecentChange => "recent_change",
        Undecidable::PreExisting => "pre_existing",
        Undecidable::RecordsLost => "records_lost",
        Undecidable::UnseenOrigin => "unseen_origin",
        Undecidable::ServiceAddress => "service_address",
        Undecidable::Stale => "stale",
    }
}

/// Formats the source or destination of a flow: `namespace/name:port` for a pod or Service, otherwise the address. An
/// ICMP echo has no port.
pub(in crate::sink) fn endpoint(endpoint: &Endpoint, peer: SocketAddress, attempt: &Attempt) -> String {
    let mut text = match (endpoint.name(), peer.address) {
        (Some(name), _) => name.to_string(),
        (None, address) if address.is_ipv6() && attempt.tuple.protocol.has_ports() => format!("[{address}]"),
        (None, address) => address.to_string(),
    };
    if attempt.tuple.protocol.has_ports() {
        // Writing to a string does not fail.
        let _ = write!(text, ":{}", peer.port);
    }
    if endpoint.name().is_none() {
        let _ = write!(text, " ({})", endpoint.kind());
    }
    text
}

/// ` (via shop/db:5432)`, if the flow was opened to a Service's address and its endpoint is known. If the Service's
/// name is not known, the text has the address before translation.
pub(in crate::sink) fn via(flow: &Flow) -> String {
    match (&flow.service, flow.attempt.service_address) {
        (Some(service), Some(service_address)) => format!(" (via {service}:{})", service_address.port),
        (None, Some(service_address)) => format!(" (via {service_address})"),
        (_, None) => String::new(),
    }
}

/// `ingress of shop/db by shop/default-deny, shop/db`.
pub(in crate::sink) fn denial(denial: &Denial) -> String {
    format!("{} of {} by {}", denial.direction, denial.subject, policies(&denial.policies))
}

/// The names of policies. Cluster-wide policies have their kind in front.
pub(in crate::sink) fn policies(policies: &[PolicyRef]) -> String {
    let names: Vec<String> = policies
        .iter()
        .map(|policy| match policy.namespace {
            Some(_) => policy.to_string(),
            None => format!("{:?} {policy}", policy.kind),
        })
        .collect();
    names.join(", ")
}
