//! Tests of the flows that Hubble's clients receive.

use std::sync::Arc;

use jiff::Timestamp;
use prost_types::FieldMask;
use tonic::Code;

use super::{
    event::{FlowOrigin, convert},
    filter::Filters,
    mask::Mask,
    proto::{
        flow::{
            self, DropReason, EventTypeFilter, FlowFilter, LostEventSource, TcpFlags, TrafficDirection,
            Verdict, flow_filter::Experimental,
        },
        observer::{GetFlowsRequest, get_flows_response::ResponseTypes},
    },
    reader::Reader,
    ring::{Recorder, Recording, recorder},
};
use crate::model::{
    Attempt, Denial, DropHook, Endpoint, Expected, Flow, Labels, Monotonic, NotApplicable, Observed, Outcome,
    Pod, PodClass, PodPhase, PolicyDirection, PolicyKind, PolicyRef, Protocol, RuleRef, SocketAddress, Tuple,
    Undecidable, Workload,
};

const DROPPED: Observed = Observed::Dropped { reason: 12, hook: DropHook::Netfilter, reply: false };

fn origin() -> FlowOrigin {
    FlowOrigin { node: "node-1".into(), run: 7 }
}

fn pod(name: &str, labels: &[(&str, &str)]) -> Endpoint {
    let (namespace, _) = name.split_once('/').unwrap();
    let labels: Labels = labels.iter().copied().collect();
    Endpoint::Pod(Arc::new(Pod {
        key: name.into(),
        uid: "".into(),
        class: Arc::new(PodClass::new(namespace.into(), labels, Box::default())),
        ips: Box::default(),
        host_network: false,
        node: Some("node-1".into()),
        phase: PodPhase::Running,
        workload: Some(Arc::new(Workload { kind: "Deployment".into(), name: "web".into() })),
        created: None,
        is_ending: false,
    }))
}

fn policy(kind: PolicyKind, name: &str) -> PolicyRef {
    let namespace = (kind == PolicyKind::NetworkPolicy).then(|| "shop".into());
    PolicyRef { kind, namespace, name: name.into() }
}

fn denied(direction: PolicyDirection, kind: PolicyKind) -> Expected {
    let denial = Denial { direction, subject: "shop/db".into(), policies: vec![policy(kind, "closed")] };
    Expected::Denied { by: vec![denial] }
}

fn allowed() -> Expected {
    let rule =
        |direction, index| RuleRef { policy: policy(PolicyKind::NetworkPolicy, "open"), direction, index };
    Expected::Allowed { by: vec![rule(PolicyDirection::Ingress, 0), rule(PolicyDirection::Ingress, 1)] }
}

/// A flow from `shop/web-1` to `shop/db-1:5432` through the Service `shop/db`, established at `second`.
fn flow(second: i64) -> Flow {
    let peer = |address: &str, port| SocketAddress { address: address.parse().unwrap(), port };
    Flow {
        time: Timestamp::from_second(second).unwrap(),
        attempt: Attempt {
            tuple: Tuple {
                protocol: Protocol::Tcp,
                source: peer("10.0.0.1", 40_000),
                destination: peer("10.0.0.2", 5432),
            },
            service_address: None,
            began: Monotonic::ZERO,
            decided: Monotonic::ZERO,
            observed: Observed::Established,
            retransmissions: 0,
            drops: 0,
            other_drop: None,
            source_interface: Some(11),
            destination_interface: Some(12),
            arrived: false,
            left_node: false,
            source_unseen: false,
            spoof_candidate: None,
            pre_existing: false,
            records_lost: false,
            revised: false,
            is_recheck: false,
        },
        drop_reason: None,
        source: pod("shop/web-1", &[("app", "web"), ("pod-template-hash", "abc")]),
        destination: pod("shop/db-1", &[("app", "db")]),
        service: Some("shop/db".into()),
        expected: Expected::Allowed { by: Vec::new() },
        outcome: Outcome::Conforming,
    }
}

fn judged(expected: Expected, observed: Observed, outcome: Outcome) -> Flow {
    let mut flow = flow(1);
    (flow.expected, flow.attempt.observed, flow.outcome) = (expected, observed, outcome);
    flow
}

/// The fields that Hubble's command line shows.
fn shown(flow: &flow::Flow) -> String {
    let event = flow.event_type.unwrap();
    let by: Vec<_> =
        [&flow.egress_allowed_by, &flow.ingress_allowed_by, &flow.egress_denied_by, &flow.ingress_denied_by]
            .into_iter()
            .flatten()
            .map(|policy| format!(" BY {}/{} ({})", policy.namespace, policy.name, policy.kind))
            .collect();
    format!(
        "{} {}:{} match {} {} {} reply {:?}{}",
        flow.verdict().as_str_name(),
        event.r#type,
        event.sub_type,
        flow.policy_match_type,
        flow.traffic_direction().as_str_name(),
        flow.drop_reason_desc().as_str_name(),
        flow.is_reply,
        by.concat(),
    )
}

#[test]
fn every_outcome() {
    use Observed::{Delivered, Established, Refused, Rejected, Reset, Unanswered};
    use PolicyDirection::{Egress, Ingress};
    let no_policy = || Expected::Allowed { by: Vec::new() };
    let closed = |direction| denied(direction, PolicyKind::NetworkPolicy);
    let nothing = "DROP_REASON_UNKNOWN reply Some(false)";
    for (expected, observed, outcome, line) in [
        (no_policy(), Established, Outcome::Conforming, format!("FORWARDED 4:0 match 0 INGRESS {nothing}")),
        (no_policy(), Refused, Outcome::Conforming, format!("FORWARDED 4:0 match 0 INGRESS {nothing}")),
        (no_policy(), Unanswered, Outcome::Unanswered, format!("TRACED 4:0 match 0 INGRESS {nothing}")),
        (
            no_policy(),
            DROPPED,
            Outcome::OverBlocked,
            "DROPPED 1:133 match 0 INGRESS POLICY_DENIED reply None".into(),
        ),
        (
            allowed(),
            Established,
            Outcome::Conforming,
            format!("FORWARDED 5:0 match 2 INGRESS {nothing} BY shop/open (NetworkPolicy)"),
        ),
        (
            allowed(),
            Rejected,
            Outcome::OverBlocked,
            "DROPPED 1:133 match 0 INGRESS POLICY_DENIED reply None BY shop/open (NetworkPolicy)".into(),
        ),
        (
            closed(Ingress),
            Delivered,
            Outcome::NotEnforced,
            format!("AUDIT 5:0 match 0 INGRESS {nothing} BY shop/closed (NetworkPolicy)"),
        ),
        (
            closed(Egress),
            DROPPED,
            Outcome::Enforced,
            "DROPPED 5:0 match 0 EGRESS POLICY_DENIED reply None BY shop/closed (NetworkPolicy)".into(),
        ),
        (
            denied(Egress, PolicyKind::AdminNetworkPolicy),
            DROPPED,
            Outcome::Enforced,
            "DROPPED 5:0 match 2 EGRESS POLICY_DENY reply None BY /closed (AdminNetworkPolicy)".into(),
        ),
        (
            closed(Ingress),
            Unanswered,
            Outcome::PresumedEnforced,
            "DROPPED 5:0 match 0 INGRESS POLICY_DENIED reply None BY shop/closed (NetworkPolicy)".into(),
        ),
        (
            Expected::Undecidable(Undecidable::UnseenOrigin),
            Reset,
            Outcome::Undecidable,
            format!("TRACED 4:0 match 0 INGRESS {nothing}"),
        ),
        (
            Expected::NotApplicable(NotApplicable::NodeTraffic),
            Established,
            Outcome::NotApplicable,
            format!("FORWARDED 4:0 match 0 INGRESS {nothing}"),
        ),
    ] {
        let flow = judged(expected, observed, outcome);
        assert_eq!(shown(&convert(&flow, 1, &origin())), line, "{flow:?}");
    }
}

/// The interface and direction of a flow whose source or destination is on another node.
#[test]
fn one_end_only() {
    for (source_interface, destination_interface, observed, line) in [
        (Some(11), None, Observed::Established, "FORWARDED 4:11 match 0 EGRESS"),
        (Some(11), None, Observed::Unanswered, "TRACED 4:5 match 0 EGRESS"),
        (None, Some(12), Observed::Established, "FORWARDED 4:0 match 0 INGRESS"),
    ] {
        let mut flow = judged(Expected::Allowed { by: Vec::new() }, observed, Outcome::Conforming);
        (flow.attempt.source_interface, flow.attempt.destination_interface) =
            (source_interface, destination_interface);
        let shown = shown(&convert(&flow, 1, &origin()));
        assert!(shown.starts_with(line), "{shown}");
    }
}

#[test]
fn ends() {
    let ends = |source: Endpoint| {
        let mut flow = flow(1);
        flow.source = source;
        convert(&flow, 1, &origin()).source.unwrap()
    };
    for (source, identity, label) in [
        (Endpoint::Node("node-1".into()), 1, "reserved:host"),
        (Endpoint::Node("node-2".into()), 6, "reserved:remote-node"),
        (Endpoint::ApiServer, 7, "reserved:kube-apiserver"),
        (Endpoint::World, 2, "reserved:world"),
        (Endpoint::Metadata, 2, "reserved:world"),
        (Endpoint::Service("shop/db".into()), 0, "reserved:unknown"),
    ] {
        let end = ends(source);
        assert_eq!((end.identity, &*end.labels[0]), (identity, label));
    }
    let web = ends(pod("shop/web-1", &[("app", "web"), ("pod-template-hash", "abc")]));
    assert_eq!((&*web.namespace, &*web.pod_name, &*web.workloads[0].kind), ("shop", "web-1", "Deployment"));
    assert_eq!(
        web.labels,
        ["k8s:app=web", "k8s:io.kubernetes.pod.namespace=shop", "k8s:pod-template-hash=abc"]
    );
    // The identity must never change: clients group by it, across all nodes and versions.
    assert_eq!(web.identity, 5_635_165);
    let same = |name: &str, labels: &[(&str, &str)]| ends(pod(name, labels)).identity == web.identity;
    assert!(same("shop/web-2", &[("app", "web"), ("pod-template-hash", "def")]));
    assert!(!same("shop/web-1", &[("app", "till")]));
    assert!(!same("mall/web-1", &[("app", "web")]));
}

#[test]
fn what_else_a_flow_says() {
    let mut other = flow(9);
    other.attempt.tuple.protocol = Protocol::Icmp;
    let [first, second] = [(flow(9), 1), (other, 2)].map(|(flow, number)| convert(&flow, number, &origin()));
    assert_ne!(first.uuid, second.uuid);
    assert_eq!(first.node_name, "node-1");
    assert_eq!(first.time.unwrap().seconds, 9);
    let service = first.destination_service.as_ref().unwrap();
    assert_eq!((&*service.namespace, &*service.name), ("shop", "db"));
    #[expect(deprecated, reason = "what the command line shows")]
    let summaries = [&*first.summary, &*second.summary];
    assert_eq!(
        summaries,
        ["TCP Flags: SYN; established; conforming", "ICMPv4 EchoRequest; established; conforming"]
    );
    let extension = first.extensions.as_ref().unwrap();
    assert_eq!(extension.type_url, "type.googleapis.com/google.protobuf.Struct");
    let fields = <prost_types::Struct as prost::Message>::decode(&*extension.value).unwrap().fields;
    assert_eq!(fields["outcome"], prost_types::Value::from("conforming".to_owned()));
    assert_eq!(fields.keys().collect::<Vec<_>>(), ["expected", "observed", "outcome"]);
}

/// One field at a time: does the flow from `web` to `db` pass the filter?
#[test]
fn filters() {
    let flow = convert(&judged(allowed(), Observed::Established, Outcome::Conforming), 1, &origin());
    let text = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect::<Vec<_>>();
    let none = FlowFilter::default;
    let workload = |kind: &str, name: &str| vec![flow::Workload { kind: kind.into(), name: name.into() }];
    let event = |r#type, match_sub_type, sub_type| vec![EventTypeFilter { r#type, match_sub_type, sub_type }];
    let web = flow.source.as_ref().unwrap().identity;
    for (row, (filter, passes)) in [
        (none(), true),
        (FlowFilter { source_ip: text(&["10.0.0.1"]), ..none() }, true),
        (FlowFilter { source_ip: text(&["10.9.0.0/16", "10.0.0.0/24"]), ..none() }, true),
        (FlowFilter { source_ip: text(&["fd00::/8"]), ..none() }, false),
        (FlowFilter { destination_ip: text(&["10.0.0.1"]), ..none() }, false),
        (FlowFilter { source_pod: text(&["shop/web"]), ..none() }, true),
        (FlowFilter { source_pod: text(&["shop/"]), ..none() }, true),
        (FlowFilter { source_pod: text(&["/web"]), ..none() }, true),
        (FlowFilter { source_pod: text(&["/"]), ..none() }, true),
        (FlowFilter { source_pod: text(&["web"]), ..none() }, false),
        (FlowFilter { source_pod: text(&["sho/"]), ..none() }, false),
        (FlowFilter { destination_pod: text(&["shop/db-1"]), ..none() }, true),
        (FlowFilter { destination_pod: text(&["shop/web"]), ..none() }, false),
        (FlowFilter { destination_service: text(&["shop/db"]), ..none() }, true),
        (FlowFilter { source_service: text(&["/"]), ..none() }, false),
        (FlowFilter { source_label: text(&["app in (web, db)"]), ..none() }, true),
        (FlowFilter { destination_label: text(&["k8s:app=web"]), ..none() }, false),
        (FlowFilter { source_port: text(&["40000"]), ..none() }, true),
        (FlowFilter { destination_port: text(&["80", "5000-6000"]), ..none() }, true),
        (FlowFilter { destination_port: text(&["5000-5431"]), ..none() }, false),
        (FlowFilter { protocol: text(&["UDP", "TCP"]), ..none() }, true),
        (FlowFilter { protocol: text(&["icmp"]), ..none() }, false),
        (FlowFilter { protocol: text(&["http"]), ..none() }, false),
        (FlowFilter { node_name: text(&["node-*"]), ..none() }, true),
        (FlowFilter { node_name: text(&["default/"]), ..none() }, true),
        (FlowFilter { node_name: text(&["other/node-1"]), ..none() }, false),
        (FlowFilter { node_name: text(&["node"]), ..none() }, false),
        (FlowFilter { source_identity: vec![web], ..none() }, true),
        (FlowFilter { destination_identity: vec![web, 2], ..none() }, false),
        (FlowFilter { source_workload: workload("Deployment", ""), ..none() }, true),
        (FlowFilter { source_workload: workload("", "cart"), ..none() }, false),
        (FlowFilter { verdict: vec![Verdict::Dropped.into(), Verdict::Forwarded.into()], ..none() }, true),
        (FlowFilter { verdict: vec![Verdict::Audit.into()], ..none() }, false),
        (FlowFilter { event_type: event(5, false, 9), ..none() }, true),
        (FlowFilter { event_type: event(5, true, 9), ..none() }, false),
        (FlowFilter { event_type: event(1, false, 0), ..none() }, false),
        (FlowFilter { reply: vec![false], ..none() }, true),
        (FlowFilter { reply: vec![true], ..none() }, false),
        (FlowFilter { tcp_flags: vec![TcpFlags { syn: true, ..TcpFlags::default() }], ..none() }, true),
        (
            FlowFilter {
                tcp_flags: vec![TcpFlags { syn: true, ack: true, ..TcpFlags::default() }],
                ..none()
            },
            false,
        ),
        (FlowFilter { ip_version: vec![2], ..none() }, false),
        (FlowFilter { uuid: vec![flow.uuid.clone()], ..none() }, true),
        (FlowFilter { traffic_direction: vec![TrafficDirection::Egress.into()], ..none() }, false),
        (FlowFilter { drop_reason_desc: vec![DropReason::PolicyDenied.into()], ..none() }, false),
        (FlowFilter { source_cluster_name: text(&["default"]), ..none() }, true),
        (FlowFilter { http_method: text(&["GET"]), ..none() }, false),
        (FlowFilter { source_fqdn: text(&["*"]), ..none() }, false),
        // All fields of one filter.
        (FlowFilter { source_pod: text(&["shop/"]), protocol: text(&["udp"]), ..none() }, false),
    ]
    .into_iter()
    .enumerate()
    {
        let shown = format!("row {row}: {filter:?}");
        let [allow, deny] = [(vec![filter.clone()], vec![]), (vec![], vec![filter])].map(|(allow, deny)| {
            Filters::new(allow, deny).unwrap_or_else(|error| panic!("{shown}: {error}"))
        });
        assert_eq!((allow.pass(&flow), deny.pass(&flow)), (passes, !passes), "{shown}");
    }
}

/// A flow must match any filter of a list. A flow that matches both lists is left out.
#[test]
fn lists_of_filters() {
    let flow = convert(&flow(1), 1, &origin());
    let tcp = || FlowFilter { protocol: vec!["tcp".into()], ..FlowFilter::default() };
    let udp = || FlowFilter { protocol: vec!["udp".into()], ..FlowFilter::default() };
    for (allow, deny, passes) in [
        (vec![udp(), tcp()], vec![], true),
        (vec![udp()], vec![], false),
        (vec![tcp()], vec![udp()], true),
        (vec![tcp()], vec![udp(), tcp()], false),
    ] {
        assert_eq!(Filters::new(allow, deny).unwrap_or_else(|error| panic!("{error}")).pass(&flow), passes);
    }
}

#[test]
fn filters_that_cannot_be_used() {
    let text = |value: &str| vec![value.to_owned()];
    let none = FlowFilter::default;
    for (filter, field) in [
        (FlowFilter { source_ip: text("10.0.0"), ..none() }, "source_ip"),
        (FlowFilter { destination_pod: text(""), ..none() }, "destination_pod"),
        (FlowFilter { source_label: text("app of (web)"), ..none() }, "source_label"),
        (FlowFilter { destination_port: text("70000"), ..none() }, "destination_port"),
        (FlowFilter { destination_port: text("9-8"), ..none() }, "destination_port"),
        (FlowFilter { protocol: text("quic"), ..none() }, "protocol"),
        (FlowFilter { node_name: text("a/b/c"), ..none() }, "node_name"),
        (
            FlowFilter { experimental: Some(Experimental { cel_expression: text("true") }), ..none() },
            "experimental",
        ),
    ] {
        let result = Filters::new(vec![FlowFilter::default(), filter], vec![]);
        let message = result.err().map(|error| error.message().to_owned()).unwrap_or_default();
        assert!(message.starts_with(&format!("whitelist[1].{field}")), "{field}: {message}");
    }
    let many = vec![FlowFilter::default(); 257];
    assert_eq!(Filters::new(vec![], many).err().map(|error| error.code()), Some(Code::InvalidArgument));
}

#[test]
fn masks() {
    let flow = convert(&judged(allowed(), Observed::Established, Outcome::Conforming), 1, &origin());
    let mask = |paths: &[&str]| {
        Mask::new(Some(FieldMask { paths: paths.iter().map(|&path| path.to_owned()).collect() }))
    };
    assert!(matches!(mask(&[]), Ok(None)));
    for path in ["verdicts", "source.pod", "time.seconds.x", "", "source.labels.x", "source..x"] {
        assert_eq!(mask(&[path]).err().map(|error| error.code()), Some(Code::InvalidArgument), "{path:?}");
    }
    let masked =
        |paths: &[&str]| mask(paths).unwrap_or_else(|error| panic!("{error}")).unwrap().apply(&flow).unwrap();
    let some = masked(&["verdict", "source.pod_name", "l4.TCP.source_port"]);
    assert_eq!(some.verdict, flow.verdict);
    let source = some.source.unwrap();
    assert_eq!((&*source.pod_name, &*source.namespace, source.identity), ("web-1", "", 0));
    assert!(format!("{:?}", some.l4).contains("source_port: 40000, destination_port: 0"), "{:?}", some.l4);
    assert!(some.destination.is_none() && some.ip.is_none() && some.time.is_none());
    // Some fields are sent even if the mask does not include them.
    assert_eq!((some.policy_match_type, some.traffic_direction), (2, flow.traffic_direction));
    assert_eq!(some.ingress_allowed_by, flow.ingress_allowed_by);
    for paths in [["source", "source.pod_name"], ["source.pod_name", "source"]] {
        assert_eq!(masked(&paths).source, flow.source, "{paths:?}");
    }
}

/// The response to a request: the seconds of its flows, and the number and source of lost events.
async fn ask(ring: &Recording, request: GetFlowsRequest) -> Result<Vec<String>, tonic::Status> {
    let Recording(ring) = ring;
    let mut reader = Reader::open(Arc::clone(ring), origin(), request).await?;
    let mut answers = Vec::new();
    // No other task writes to the ring: if there is no response at once, there will be none.
    while let Some(answer) = futures::FutureExt::now_or_never(reader.next()).transpose()?.flatten() {
        answers.push(match answer.response_types.unwrap() {
            ResponseTypes::Flow(flow) => flow.time.unwrap().seconds.to_string(),
            ResponseTypes::LostEvents(lost) => format!("{} of {}", lost.num_events_lost, lost.source),
            ResponseTypes::NodeStatus(_) => unreachable!("nobody says so"),
        });
    }
    Ok(answers)
}

fn filled(capacity: usize, seconds: std::ops::Range<i64>) -> (Recorder, Recording) {
    let (recorder, recording) = recorder(capacity);
    for second in seconds {
        let mut flow = flow(second);
        if second % 2 == 1 {
            flow.attempt.tuple.protocol = Protocol::Udp;
        }
        recorder.flow(flow);
    }
    (recorder, recording)
}

/// The ring contains the seconds 2 to 9: 0 and 1 have been overwritten. The odd ones are UDP.
#[tokio::test]
async fn requests() {
    let (_recorder, ring) = filled(8, 0..10);
    let at = |second| Some(prost_types::Timestamp { seconds: second, nanos: 0 });
    let udp = || vec![FlowFilter { protocol: vec!["udp".into()], ..FlowFilter::default() }];
    let none = GetFlowsRequest::default;
    for (request, seconds) in [
        (none(), "2 3 4 5 6 7 8 9"),
        (GetFlowsRequest { number: 3, ..none() }, "7 8 9"),
        (GetFlowsRequest { number: u64::MAX, ..none() }, "2 3 4 5 6 7 8 9"),
        (GetFlowsRequest { number: 3, first: true, ..none() }, "2 3 4"),
        (GetFlowsRequest { number: 2, whitelist: udp(), ..none() }, "7 9"),
        (GetFlowsRequest { number: 2, blacklist: udp(), ..none() }, "6 8"),
        (GetFlowsRequest { number: 2, first: true, whitelist: udp(), ..none() }, "3 5"),
        (GetFlowsRequest { since: at(6), ..none() }, "6 7 8 9"),
        (GetFlowsRequest { since: at(6), number: 2, ..none() }, "6 7"),
        (GetFlowsRequest { until: at(4), ..none() }, "2 3 4"),
        (GetFlowsRequest { since: at(4), until: at(6), ..none() }, "4 5 6"),
        (GetFlowsRequest { until: at(6), number: 2, ..none() }, "5 6"),
        (GetFlowsRequest { follow: true, ..none() }, ""),
        (GetFlowsRequest { follow: true, number: 2, ..none() }, "8 9"),
        (GetFlowsRequest { follow: true, since: at(7), ..none() }, "7 8 9"),
        (GetFlowsRequest { follow: true, since: at(5), until: at(7), ..none() }, "5 6 7"),
    ] {
        let shown = format!("{request:?}");
        assert_eq!(ask(&ring, request).await.unwrap().join(" "), seconds, "{shown}");
    }
}

#[tokio::test]
async fn requests_that_make_no_sense() {
    let (_recorder, ring) = filled(8, 0..1);
    let bad_time = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 });
    for request in [
        GetFlowsRequest { first: true, follow: true, ..GetFlowsRequest::default() },
        GetFlowsRequest { since: bad_time, ..GetFlowsRequest::default() },
        GetFlowsRequest {
            field_mask: Some(FieldMask { paths: vec!["x".into()] }),
            ..GetFlowsRequest::default()
        },
    ] {
        let shown = format!("{request:?}");
        let error = ask(&ring, request).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{shown}");
    }
}

/// A slow reader gets the number of missed flows. Lost records of the kernel pass every filter.
#[tokio::test]
async fn lost_flows() {
    let (mut recorder, Recording(ring)) = filled(4, 0..2);
    let request = GetFlowsRequest { follow: true, number: 1, ..GetFlowsRequest::default() };
    let mut reader = Reader::open(ring, origin(), request).await.unwrap();
    let mut next = async || match reader.next().await.unwrap().unwrap().response_types.unwrap() {
        ResponseTypes::Flow(flow) => flow.time.unwrap().seconds.to_string(),
        ResponseTypes::LostEvents(lost) => {
            format!("{} {}", lost.source().as_str_name(), lost.num_events_lost)
        }
        ResponseTypes::NodeStatus(_) => unreachable!("nobody says so"),
    };
    assert_eq!(next().await, "1");
    // These are six more than the ring's capacity.
    (2..12).for_each(|second| recorder.flow(flow(second)));
    let missed = LostEventSource::HubbleRingBuffer.as_str_name();
    for expected in [&*format!("{missed} 6"), "8", "9", "10", "11"] {
        assert_eq!(next().await, expected);
    }
    let at = |second| Timestamp::from_second(second).unwrap();
    // Losses are reported once a second, with all records lost until then.
    for (total, second) in [(0, 20), (5, 21), (5, 23), (7, 24)] {
        recorder.lost(total, at(second));
    }
    recorder.lost(9, at(24));
    recorder.lost(9, at(25));
    recorder.flow(flow(30));
    let lost = LostEventSource::PerfEventRingBuffer.as_str_name();
    for expected in [&*format!("{lost} 5"), &format!("{lost} 2"), &format!("{lost} 2"), "30"] {
        assert_eq!(next().await, expected);
    }
}

/// A waiting reader is woken by a new flow.
#[tokio::test]
async fn following() {
    let (recorder, Recording(ring)) = filled(4, 0..0);
    let request = GetFlowsRequest { follow: true, ..GetFlowsRequest::default() };
    let mut reader = Reader::open(ring, origin(), request).await.unwrap();
    let read = tokio::spawn(async move { reader.next().await });
    tokio::task::yield_now().await;
    recorder.flow(flow(3));
    let answer = read.await.unwrap().unwrap().unwrap();
    assert_eq!((answer.time.unwrap().seconds, &*answer.node_name), (3, "node-1"));
}
