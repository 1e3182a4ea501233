//! Converts a flow to Hubble's flow message.

use std::net::IpAddr;

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    endpoint::endpoint,
    extension::extension,
    proto::{
        flow::{self, DropReason, TraceObservationPoint, TrafficDirection, Verdict},
        observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
    },
};
use crate::model::{
    Denial, Expected, Flow, Observed, PolicyDirection, PolicyKind, PolicyRef, Protocol, SocketAddress, Tuple,
};

/// Types of Hubble's events (Cilium's monitor API).
const DROP: i32 = 1;
const TRACE: i32 = 4;
const POLICY_VERDICT: i32 = 5;

/// Hubble's policy match types: no rule matches, or a rule matches peers and ports.
const MATCH_NONE: u32 = 0;
const MATCH_PEERS_AND_PORTS: u32 = 2;

/// The origin of flows: the node and the run of the agent.
#[derive(Clone, Debug)]
pub(super) struct FlowOrigin {
    /// The node's name.
    pub(super) node: String,
    /// A random number that identifies this run of the agent.
    pub(super) run: u64,
}

impl FlowOrigin {
    /// A response with a flow.
    pub(super) fn flow(&self, flow: flow::Flow, at: Timestamp) -> GetFlowsResponse {
        self.response(ResponseTypes::Flow(flow), at)
    }

    /// A response that reports lost flows.
    pub(super) fn lost(&self, source: flow::LostEventSource, count: u64, at: Timestamp) -> GetFlowsResponse {
        let lost = flow::LostEvent { source: source.into(), num_events_lost: count, cpu: None };
        self.response(ResponseTypes::LostEvents(lost), at)
    }

    fn response(&self, kind: ResponseTypes, at: Timestamp) -> GetFlowsResponse {
        GetFlowsResponse { response_types: Some(kind), node_name: self.node.clone(), time: Some(time(at)) }
    }
}

fn time(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }
}

/// The kind of Hubble event for a flow.
struct Kind {
    verdict: Verdict,
    event: (i32, i32),
    point: TraceObservationPoint,
    reason: DropReason,
    policy_match: u32,
}

/// Converts a flow. `number` counts the flows since the start of the agent.
#[expect(deprecated, reason = "old clients show only these fields")]
pub(super) fn convert(flow: &Flow, number: u64, origin: &FlowOrigin) -> flow::Flow {
    let FlowOrigin { node, run } = origin;
    let Kind { verdict, event: (r#type, sub_type), point, reason, policy_match } = kind(flow);
    let tuple = &flow.attempt.tuple;
    let [egress_allowed, ingress_allowed] = allowed_by(&flow.expected);
    let [egress_denied, ingress_denied] = denied_by(&flow.expected);
    flow::Flow {
        time: Some(time(flow.time)),
        verdict: verdict.into(),
        drop_reason: u32::try_from(i32::from(reason)).unwrap_or_default(),
        ip: Some(ip(tuple)),
        l4: layer_4(tuple),
        source: Some(endpoint(&flow.source, node)),
        destination: Some(endpoint(&flow.destination, node)),
        r#type: flow::FlowType::L3L4.into(),
        node_name: node.clone(),
        source_names: Vec::new(),
        destination_names: Vec::new(),
        event_type: Some(flow::CiliumEventType { r#type, sub_type }),
        source_service: None,
        destination_service: flow.service.as_deref().map(service),
        traffic_direction: direction(flow).into(),
        policy_match_type: policy_match,
        trace_observation_point: point.into(),
        drop_reason_desc: reason.into(),
        is_reply: (verdict != Verdict::Dropped).then_some(false),
        interface: interface(flow),
        uuid: uuid(number, *run),
        egress_allowed_by: egress_allowed,
        ingress_allowed_by: ingress_allowed,
        egress_denied_by: egress_denied,
        ingress_denied_by: ingress_denied,
        summary: summary(flow),
        extensions: extension(flow),
    }
}

fn kind(flow: &Flow) -> Kind {
    let observed = flow.attempt.observed;
    let stopped = matches!(observed, Observed::Dropped { .. } | Observed::Rejected);
    let verdict = |verdict, policy_match, reason| Kind {
        verdict,
        event: (POLICY_VERDICT, 0),
        point: TraceObservationPoint::UnknownPoint,
        reason,
        policy_match,
    };
    match &flow.expected {
        Expected::Denied { by } if flow.attempt.reached_destination() => {
            verdict(Verdict::Audit, denial_match(by), DropReason::Unknown)
        }
        Expected::Denied { by } => verdict(Verdict::Dropped, denial_match(by), denial_reason(by)),
        Expected::Allowed { by } if !by.is_empty() && observed.reached_destination() => {
            verdict(Verdict::Forwarded, MATCH_PEERS_AND_PORTS, DropReason::Unknown)
        }
        _ if stopped => Kind {
            event: (DROP, DropReason::PolicyDenied.into()),
            ..verdict(Verdict::Dropped, MATCH_NONE, DropReason::PolicyDenied)
        },
        _ => trace(flow),
    }
}

/// The event for a flow that no policy decides and that was not stopped.
fn trace(flow: &Flow) -> Kind {
    let attempt = &flow.attempt;
    let verdict = if attempt.observed.reached_destination() { Verdict::Forwarded } else { Verdict::Traced };
    let (sub_type, point) = if attempt.destination_interface.is_some() {
        (0, TraceObservationPoint::ToEndpoint)
    } else if attempt.observed.reached_destination() {
        (11, TraceObservationPoint::ToNetwork)
    } else {
        (5, TraceObservationPoint::FromEndpoint)
    };
    Kind { verdict, event: (TRACE, sub_type), point, reason: DropReason::Unknown, policy_match: MATCH_NONE }
}

/// Returns true if a rule denies the flow. NetworkPolicies deny because no rule allows. Cluster-wide policies have
/// rules that deny.
fn denies_by_rule(by: &[Denial]) -> bool {
    let has_deny_rules = |policy: &PolicyRef| policy.kind != PolicyKind::NetworkPolicy;
    by.first().is_some_and(|denial| denial.policies.iter().any(has_deny_rules))
}

fn denial_match(by: &[Denial]) -> u32 {
    if denies_by_rule(by) { MATCH_PEERS_AND_PORTS } else { MATCH_NONE }
}

fn denial_reason(by: &[Denial]) -> DropReason {
    if denies_by_rule(by) { DropReason::PolicyDeny } else { DropReason::PolicyDenied }
}

/// The direction that denies the flow. Otherwise the direction that this node observes, ingress first.
fn direction(flow: &Flow) -> TrafficDirection {
    if let Expected::Denied { by } = &flow.expected
        && let Some(denial) = by.first()
    {
        return match denial.direction {
            PolicyDirection::Ingress => TrafficDirection::Ingress,
            PolicyDirection::Egress => TrafficDirection::Egress,
        };
    }
    match (flow.attempt.destination_interface, flow.attempt.source_interface) {
        (Some(_), _) => TrafficDirection::Ingress,
        (None, Some(_)) => TrafficDirection::Egress,
        (None, None) => TrafficDirection::Unknown,
    }
}

fn interface(flow: &Flow) -> Option<flow::NetworkInterface> {
    let attempt = &flow.attempt;
    let index = attempt.destination_interface.or(attempt.source_interface)?;
    Some(flow::NetworkInterface { index, name: String::new() })
}

/// The policies for egress, and for ingress.
fn allowed_by(expected: &Expected) -> [Vec<flow::Policy>; 2] {
    let Expected::Allowed { by } = expected else { return [Vec::new(), Vec::new()] };
    [PolicyDirection::Egress, PolicyDirection::Ingress].map(|direction| {
        let mut policies: Vec<_> =
            by.iter().filter(|rule| rule.direction == direction).map(|rule| &rule.policy).collect();
        policies.dedup();
        policies.into_iter().map(policy).collect()
    })
}

/// The policies for egress, and for ingress.
fn denied_by(expected: &Expected) -> [Vec<flow::Policy>; 2] {
    let Expected::Denied { by } = expected else { return [Vec::new(), Vec::new()] };
    [PolicyDirection::Egress, PolicyDirection::Ingress].map(|direction| {
        let denials = by.iter().filter(|denial| denial.direction == direction);
        denials.flat_map(|denial| &denial.policies).map(policy).collect()
    })
}

fn policy(policy: &PolicyRef) -> flow::Policy {
    flow::Policy {
        name: policy.name.to_string(),
        namespace: policy.namespace.as_deref().unwrap_or_default().to_owned(),
        labels: Vec::new(),
        revision: 0,
        kind: format!("{:?}", policy.kind),
    }
}

fn service(name: &str) -> flow::Service {
    let (namespace, name) = name.split_once('/').unwrap_or(("", name));
    flow::Service { name: name.to_owned(), namespace: namespace.to_owned() }
}

fn ip(tuple: &Tuple) -> flow::Ip {
    let version = match tuple.source.address {
        IpAddr::V4(_) => flow::IpVersion::IPv4,
        IpAddr::V6(_) => flow::IpVersion::IPv6,
    };
    flow::Ip {
        source: tuple.source.address.to_string(),
        destination: tuple.destination.address.to_string(),
        ip_version: version.into(),
        ..flow::Ip::default()
    }
}

fn layer_4(tuple: &Tuple) -> Option<flow::Layer4> {
    use flow::layer4::Protocol as Layer;
    let [source_port, destination_port] =
        [tuple.source, tuple.destination].map(|SocketAddress { port, .. }| u32::from(port));
    let protocol = match tuple.protocol {
        Protocol::Tcp => Layer::Tcp(flow::Tcp {
            source_port,
            destination_port,
            // The flags of the packet that opens a connection.
            flags: Some(flow::TcpFlags { syn: true, ..flow::TcpFlags::default() }),
        }),
        Protocol::Udp => Layer::Udp(flow::Udp { source_port, destination_port }),
        Protocol::Sctp => Layer::Sctp(flow::Sctp { source_port, destination_port }),
        // Echo requests: RFC 792 and RFC 4443.
        Protocol::Icmp => Layer::IcmPv4(flow::IcmPv4 { r#type: 8, code: 0 }),
        Protocol::Icmpv6 => Layer::IcmPv6(flow::IcmPv6 { r#type: 128, code: 0 }),
        Protocol::Other(_) => return None,
    };
    Some(flow::Layer4 { protocol: Some(protocol) })
}

/// Hubble's summary of the packet, followed by netpol's observation and outcome.
fn summary(flow: &Flow) -> String {
    let packet = match flow.attempt.tuple.protocol {
        Protocol::Tcp => "TCP Flags: SYN".to_owned(),
        Protocol::Icmp => "ICMPv4 EchoRequest".to_owned(),
        Protocol::Icmpv6 => "ICMPv6 EchoRequest".to_owned(),
        other => other.to_string(),
    };
    let reason = flow.drop_reason.as_deref().map(|reason| format!(" {reason}")).unwrap_or_default();
    format!("{packet}; {}{reason}; {}", flow.attempt.observed, flow.outcome)
}

/// A UUID that is unique across nodes and runs (RFC 9562, version 8).
fn uuid(number: u64, run: u64) -> String {
    Uuid::new_v8((u128::from(run) << 64 | u128::from(number)).to_be_bytes()).to_string()
}
