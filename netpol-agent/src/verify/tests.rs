//! Table tests: attempts in a small cluster, and their outcomes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;

mod findings_over_time;
mod late_news;
mod new_pods;
mod reach;

use super::{Clock, Findings, Judge};
use crate::{
    cluster::manifests,
    identity::PodInterfaces,
    model::{
        Attempt, DropHook, DropReasons, Expected, Finding, FindingKind, FindingStatus, Flow, Monotonic,
        ObjectKind, Observed, Outcome, Protocol, SocketAddress, Tuple, Undecidable,
    },
    policy::Engine,
};

const GRACE: Duration = Duration::from_secs(5);

/// The maximum time until an attempt is judged.
const KEEP: Duration = Duration::from_secs(15);

/// Returns the point in time this many seconds after boot.
const fn at(second: u64) -> Monotonic {
    Monotonic::from_secs(second)
}

const DROPPED: Observed = Observed::Dropped { reason: 12, hook: DropHook::Netfilter, reply: false };

/// Only `web` may reach `db`, on 5432. No policy selects `free`. The agent's node is `node`; `far` has a pod that uses
/// the host network.
const CLUSTER: &str = "
{apiVersion: v1, kind: Node, metadata: {name: node}, status: {addresses: [{type: InternalIP, address: 10.1.0.1}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, labels: {app: web}},
 spec: {nodeName: node}, status: {phase: Running, podIPs: [{ip: 10.0.0.1}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: shop, labels: {app: db}},
 spec: {nodeName: node}, status: {phase: Running, podIPs: [{ip: 10.0.0.2}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: free, namespace: tools},
 spec: {nodeName: node}, status: {phase: Running, podIPs: [{ip: 10.0.0.3}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: far}, status: {addresses: [{type: InternalIP, address: 10.1.0.2}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: far-web, namespace: shop, labels: {app: web}},
 spec: {nodeName: far, hostNetwork: true}, status: {phase: Running, podIPs: [{ip: 10.1.0.2}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: db, namespace: shop},
 spec: {clusterIP: 10.96.0.2, selector: {app: db}, ports: [{port: 5432, nodePort: 30432}]}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: db, namespace: shop},
 spec: {podSelector: {matchLabels: {app: db}},
        ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}]}}
";

/// The same cluster without the policy.
fn without_policy() -> String {
    CLUSTER.rsplit_once("---").unwrap().0.to_owned()
}

fn engine(cluster: &str) -> Arc<Engine> {
    let manifests = manifests::parse("test.yaml", cluster);
    assert!(manifests.errors.is_empty(), "{:?}", manifests.errors);
    Engine::compile(&manifests.snapshot())
}

fn reasons() -> DropReasons {
    DropReasons::new(BTreeMap::from([(3, "NO_SOCKET".into()), (12, "NETFILTER_DROP".into())]))
}

/// Creates a judge that has known the cluster for a long time.
fn judge() -> Judge {
    let mut judge = Judge::new(Clock { boot: Timestamp::UNIX_EPOCH }, reasons(), GRACE, KEEP);
    judge.set_state(engine(CLUSTER), at(1));
    judge
}

fn interfaces() -> PodInterfaces {
    let mut interfaces = PodInterfaces::default();
    for (ifindex, address) in [(1, "10.0.0.1"), (2, "10.0.0.2"), (3, "10.0.0.3"), (9, "172.16.0.1")] {
        interfaces.attached(ifindex, "veth".into(), Vec::new(), true, Monotonic::ZERO);
        interfaces.set_addresses(ifindex, vec![address.parse().unwrap()]);
    }
    // The host's end of a pod's interface pair has an address that the API does not list.
    interfaces.set_host(["127.0.0.1", "10.1.0.1", "10.0.0.254"].map(|address| address.parse().unwrap()));
    interfaces
}

fn attempt(from: &str, to: &str, port: u16, observed: Observed) -> Attempt {
    let peer = |address: &str, port| SocketAddress { address: address.parse().unwrap(), port };
    let tuple = Tuple { protocol: Protocol::Tcp, source: peer(from, 40_000), destination: peer(to, port) };
    let interfaces = interfaces();
    Attempt {
        tuple,
        service_address: None,
        began: at(100),
        decided: at(101),
        observed,
        retransmissions: 0,
        drops: 0,
        other_drop: None,
        source_interface: interfaces.owner(tuple.source.address),
        destination_interface: interfaces.owner(tuple.destination.address),
        arrived: false,
        left_node: false,
        source_unseen: false,
        spoof_candidate: None,
        pre_existing: false,
        records_lost: false,
        revised: false,
        is_recheck: false,
    }
}

const WEB: &str = "10.0.0.1";
const DB: &str = "10.0.0.2";
const FREE: &str = "10.0.0.3";

fn why(flow: &Flow) -> Option<&Undecidable> {
    match &flow.expected {
        Expected::Undecidable(why) => Some(why),
        _ => None,
    }
}

#[test]
fn outcomes() {
    use Observed::{Established, Rejected, Reset, Unanswered};
    for (from, to, port, observed, expected) in [
        (WEB, DB, 5432, Established, Outcome::Conforming),
        (WEB, DB, 5432, DROPPED, Outcome::OverBlocked),
        (WEB, DB, 5432, Rejected, Outcome::OverBlocked),
        (WEB, DB, 5432, Unanswered, Outcome::Unanswered),
        (WEB, DB, 22, Established, Outcome::NotEnforced),
        (FREE, DB, 5432, Established, Outcome::NotEnforced),
        (FREE, DB, 5432, DROPPED, Outcome::Enforced),
        (FREE, DB, 5432, Unanswered, Outcome::PresumedEnforced),
        (FREE, DB, 5432, Reset, Outcome::Undecidable),
        ("203.0.113.9", DB, 5432, Established, Outcome::NotEnforced),
        ("203.0.113.9", FREE, 80, Established, Outcome::Conforming),
        ("10.1.0.1", DB, 5432, Established, Outcome::NotApplicable),
        ("10.0.0.254", DB, 5432, Established, Outcome::NotApplicable),
        ("10.1.0.2", DB, 5432, Established, Outcome::Undecidable),
        ("10.1.0.2", DB, 22, Established, Outcome::NotEnforced),
        (WEB, "10.0.0.254", 22, Established, Outcome::Conforming),
        (DB, DB, 1, Established, Outcome::NotApplicable),
        (WEB, "10.96.0.2", 5432, Established, Outcome::Undecidable),
    ] {
        let flow = judge().judge(attempt(from, to, port, observed), &interfaces());
        assert_eq!(flow.outcome, expected, "{from} -> {to}:{port} {observed}: {:?}", flow.expected);
    }
}

/// Two Services with pods that get different verdicts, one of them with a node port, and the API server.
const SERVICES: &str = "
---
{apiVersion: v1, kind: Service, metadata: {name: split, namespace: shop},
 spec: {clusterIP: 10.96.0.3, ports: [{port: 80, nodePort: 30080}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice,
 metadata: {name: split, namespace: shop, labels: {kubernetes.io/service-name: split}},
 addressType: IPv4, endpoints: [{addresses: [10.0.0.2]}, {addresses: [10.0.0.3]}], ports: [{port: 5432}]}
---
{apiVersion: v1, kind: Service, metadata: {name: balanced, namespace: shop},
 spec: {clusterIP: 10.96.0.4, externalIPs: [192.0.2.7], ports: [{port: 443}]}, status: {loadBalancer: {ingress: [{ip: 10.1.0.1}]}}}
---
{apiVersion: v1, kind: Service, metadata: {name: also, namespace: shop},
 spec: {clusterIP: 10.96.0.5, externalIPs: [192.0.2.7], ports: [{port: 53, protocol: UDP}, {port: 8443}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: kubernetes, namespace: default},
 spec: {clusterIP: 10.96.0.1, ports: [{name: https, port: 443}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice,
 metadata: {name: kubernetes, namespace: default, labels: {kubernetes.io/service-name: kubernetes}},
 addressType: IPv4, endpoints: [{addresses: [10.1.0.1]}, {addresses: [198.51.100.6]}], ports: [{name: https, port: 6443}]}
";

/// The destination endpoint, and the Service that was used.
#[test]
fn destinations() {
    let to = |address: &str, port| attempt(FREE, address, port, Observed::Established);
    let via = |address: &str, port, attempt: Attempt| {
        let service_address = Some(SocketAddress { address: address.parse().unwrap(), port });
        Attempt { service_address, ..attempt }
    };
    let mut judge = judge();
    judge.set_state(engine(&format!("{CLUSTER}{SERVICES}")), at(2));
    for (attempt, destination, service, outcome) in [
        (to(DB, 5432), "pod shop/db", "", Outcome::NotEnforced),
        (to("10.96.0.3", 80), "service shop/split", "shop/split", Outcome::Undecidable),
        (to("10.1.0.1", 30080), "service shop/split", "shop/split", Outcome::Undecidable),
        (via("10.96.0.3", 80, to(DB, 5432)), "pod shop/db", "shop/split", Outcome::NotEnforced),
        (via("10.1.0.1", 30080, to(DB, 5432)), "pod shop/db", "shop/split", Outcome::Undecidable),
        (via("10.1.0.2", 30080, to(DB, 5432)), "pod shop/db", "shop/split", Outcome::NotEnforced),
        (via("10.1.0.1", 8080, to(DB, 5432)), "pod shop/db", "", Outcome::Undecidable),
        (to("10.1.0.1", 22), "node node", "", Outcome::Conforming),
        (to("10.1.0.1", 6443), "kube-apiserver ", "", Outcome::Conforming),
        (to("10.1.0.1", 443), "service shop/balanced", "shop/balanced", Outcome::Undecidable),
        (to("192.0.2.7", 443), "service shop/balanced", "shop/balanced", Outcome::Undecidable),
        (to("192.0.2.7", 8443), "service shop/also", "shop/also", Outcome::Undecidable),
        (to("192.0.2.7", 53), "service shop/balanced", "shop/balanced", Outcome::Undecidable),
        (via("192.0.2.7", 8443, to(DB, 5432)), "pod shop/db", "shop/also", Outcome::Undecidable),
        (to("198.51.100.6", 6443), "kube-apiserver ", "", Outcome::Conforming),
        (
            via("10.96.0.1", 443, to("198.51.100.6", 6443)),
            "kube-apiserver ",
            "default/kubernetes",
            Outcome::Conforming,
        ),
        (to("169.254.169.254", 80), "metadata ", "", Outcome::Conforming),
        (to("fd00:ec2::254", 80), "metadata ", "", Outcome::Conforming),
        (to("203.0.113.9", 80), "world ", "", Outcome::Conforming),
    ] {
        let lacks = judge.lacks_endpoint(&attempt);
        let flow = judge.judge(attempt, &interfaces());
        let end = &flow.destination;
        let told = format!("{} {}", end.kind(), end.name().map_or("", |name| name));
        let name = flow.service.as_deref().unwrap_or_default();
        assert_eq!(
            (&*told, name, flow.outcome),
            (destination, service, outcome),
            "{attempt:?} {:?}",
            flow.expected
        );
        assert_eq!(lacks, destination.starts_with("service"), "{attempt:?}");
    }
}

/// An enforcer may compare CIDR ranges with the address before it is translated.
#[test]
fn ranges_that_have_the_address_that_was_used() {
    for (range, address, port, expected) in [
        ("10.1.0.2/32", "10.1.0.2", 30080, Outcome::Undecidable),
        ("10.96.0.0/12", "10.96.0.3", 80, Outcome::Undecidable),
        ("10.96.0.5/32", "10.96.0.3", 80, Outcome::NotEnforced),
        ("10.1.0.0/24", "10.96.0.3", 80, Outcome::NotEnforced),
        ("10.0.0.0/24", "10.1.0.1", 30080, Outcome::Undecidable),
    ] {
        let policy = format!(
            "---
{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: range, namespace: tools}},
 spec: {{policyTypes: [Egress], egress: [{{to: [{{ipBlock: {{cidr: {range}}}}}]}}]}}}}
"
        );
        let mut judge = judge();
        judge.set_state(engine(&format!("{CLUSTER}{SERVICES}{policy}")), at(2));
        let service_address = Some(SocketAddress { address: address.parse().unwrap(), port });
        let attempt = Attempt { service_address, ..attempt(FREE, WEB, 8080, Observed::Established) };
        let flow = judge.judge(attempt, &interfaces());
        assert_eq!(flow.outcome, expected, "{range} {address}:{port}: {:?}", flow.expected);
    }
}

#[test]
fn what_makes_an_attempt_undecidable() {
    let plain = || attempt(FREE, DB, 5432, Observed::Established);
    let unanswered = || attempt(FREE, DB, 5432, Observed::Unanswered);
    for (name, attempt, expected) in [
        ("nothing", plain(), None),
        ("pre-existing", Attempt { pre_existing: true, ..plain() }, Some(Undecidable::PreExisting)),
        ("losses do not undo what was seen", Attempt { records_lost: true, ..plain() }, None),
        (
            "losses undo a drop: it may have got through when it was sent again",
            Attempt { records_lost: true, observed: DROPPED, ..plain() },
            Some(Undecidable::RecordsLost),
        ),
        (
            "losses undo who asked",
            Attempt {
                records_lost: true,
                tuple: Tuple { protocol: Protocol::Udp, ..plain().tuple },
                ..plain()
            },
            Some(Undecidable::RecordsLost),
        ),
        (
            "losses undo what was not seen",
            Attempt { records_lost: true, ..unanswered() },
            Some(Undecidable::RecordsLost),
        ),
        (
            "another pod's address",
            Attempt { spoof_candidate: Some(1), ..plain() },
            Some(Undecidable::SpoofedSource),
        ),
        ("through an uplink", Attempt { spoof_candidate: Some(9), ..plain() }, None),
        ("an interface that was removed", Attempt { spoof_candidate: Some(77), ..plain() }, None),
        (
            "before its Service's address is translated",
            attempt(WEB, "10.96.0.2", 5432, Observed::Established),
            Some(Undecidable::ServiceAddress),
        ),
        (
            "reset from elsewhere",
            attempt(WEB, "10.0.0.99", 80, Observed::Reset),
            Some(Undecidable::UnseenOrigin),
        ),
    ] {
        let flow = judge().judge(attempt, &interfaces());
        assert_eq!(why(&flow), expected.as_ref(), "{name}");
    }
}

/// All states that were current shortly before an attempt or during it must agree.
#[test]
fn changes() {
    let without = without_policy();
    for (name, changes, expected) in [
        ("long before", vec![(80, CLUSTER)], Outcome::NotEnforced),
        ("just before", vec![(98, CLUSTER)], Outcome::Undecidable),
        ("while it was undecided", vec![(99, &*without), (101, CLUSTER)], Outcome::Undecidable),
        ("after it", vec![(102, CLUSTER)], Outcome::Conforming),
        ("nothing that matters", vec![(60, CLUSTER), (98, CLUSTER), (99, CLUSTER)], Outcome::NotEnforced),
        ("there and back", vec![(60, CLUSTER), (97, &without), (98, CLUSTER)], Outcome::Undecidable),
    ] {
        let mut judge = Judge::new(Clock { boot: Timestamp::UNIX_EPOCH }, reasons(), GRACE, KEEP);
        judge.set_state(engine(&without), at(1));
        for (second, cluster) in changes {
            judge.set_state(engine(cluster), at(second));
        }
        let flow = judge.judge(attempt(FREE, DB, 5432, Observed::Established), &interfaces());
        assert_eq!(flow.outcome, expected, "{name}: {:?}", flow.expected);
    }
}

/// Connections to a Service's address or node port: the verdict is the one that its ready endpoints have in common.
#[test]
fn services() {
    let slice = |name: &str, endpoints: &str| {
        format!(
            "{CLUSTER}---
{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4,
 metadata: {{name: {name}, namespace: shop, labels: {{kubernetes.io/service-name: db}}}},
 endpoints: [{endpoints}], ports: [{{name: '', port: 5432, protocol: TCP}}]}}
"
        )
    };
    let db = slice("db-1", "{addresses: [10.0.0.2], conditions: {ready: true}}");
    let both = slice("db-1", "{addresses: [10.0.0.2]}, {addresses: [10.0.0.3]}");
    let one_ready =
        slice("db-1", "{addresses: [10.0.0.2]}, {addresses: [10.0.0.3], conditions: {ready: false}}");
    let none = slice("db-1", "{addresses: [10.0.0.2], conditions: {ready: false}}");
    let other = db.replace("service-name: db", "service-name: other");
    let on_far = db.replace(
        "nodeName: node}, status: {phase: Running, podIPs: [{ip: 10.0.0.2}]}",
        "nodeName: far}, status: {phase: Running, podIPs: [{ip: 10.0.0.2}]}",
    );
    let from_nodes = db.replace("from: [{podSelector", "from: [{ipBlock: {cidr: 10.1.0.2/32}}, {podSelector");
    let (service, node) = ("10.96.0.2", "10.1.0.2");
    for (name, cluster, from, address, port, expected) in [
        ("allowed", &db, WEB, service, 5432, Outcome::Conforming),
        ("denied", &db, FREE, service, 5432, Outcome::NotEnforced),
        ("a port that it does not have", &db, WEB, service, 22, Outcome::Undecidable),
        ("a node port is none at its own address", &db, WEB, service, 30432, Outcome::Undecidable),
        ("endpoints differ", &both, FREE, service, 5432, Outcome::Undecidable),
        ("endpoints agree", &both, WEB, service, 5432, Outcome::Conforming),
        ("only the ready ones count", &one_ready, FREE, service, 5432, Outcome::NotEnforced),
        ("none is ready", &none, FREE, service, 5432, Outcome::Undecidable),
        ("another Service's", &other, FREE, service, 5432, Outcome::Undecidable),
        ("denied at a node port", &db, FREE, node, 30432, Outcome::NotEnforced),
        (
            "denied at a node port, and the node is let in",
            &from_nodes,
            FREE,
            node,
            30432,
            Outcome::Undecidable,
        ),
        ("denied at the node port of its own node", &on_far, FREE, node, 30432, Outcome::Undecidable),
        ("allowed at a node port, and the node is not", &db, WEB, node, 30432, Outcome::Undecidable),
        ("allowed at a node port, as the node is", &from_nodes, WEB, node, 30432, Outcome::Conforming),
        ("endpoints of a node port differ", &both, FREE, node, 30432, Outcome::Undecidable),
    ] {
        let mut judge = Judge::new(Clock { boot: Timestamp::UNIX_EPOCH }, reasons(), GRACE, KEEP);
        judge.set_state(engine(cluster), at(1));
        let flow = judge.judge(attempt(from, address, port, Observed::Established), &interfaces());
        assert_eq!(flow.outcome, expected, "{name}: {:?}", flow.expected);
    }
}

/// The address of a terminating pod on another node may already belong to another pod. A pod on this node has its own
/// interface.
#[test]
fn a_terminating_pod() {
    let ending = |name: &str, end: &str| {
        CLUSTER.replace(&format!("metadata: {{name: {name}, "), &format!("metadata: {{name: {name}, {end}"))
    };
    let far = |end| ending("free", end).replace("10.0.0.3", "10.0.1.3");
    let end = "deletionTimestamp: '2026-01-01T00:00:00Z', ";
    for (name, cluster, since, from, expected) in [
        ("here", ending("free", ""), 2, FREE, Outcome::NotEnforced),
        ("here, ending", ending("free", end), 2, FREE, Outcome::NotEnforced),
        ("elsewhere", far(""), 2, "10.0.1.3", Outcome::NotEnforced),
        ("elsewhere, ending", far(end), 2, "10.0.1.3", Outcome::Undecidable),
        ("elsewhere, ending after it began", far(end), 101, "10.0.1.3", Outcome::NotEnforced),
    ] {
        let mut judge = Judge::new(Clock { boot: Timestamp::UNIX_EPOCH }, reasons(), GRACE, KEEP);
        judge.set_state(engine(&far("")), at(1));
        judge.set_state(engine(&cluster), at(since));
        let flow = judge.judge(attempt(from, DB, 5432, Observed::Established), &interfaces());
        assert_eq!(flow.outcome, expected, "{name}: {:?}", flow.expected);
        assert_eq!(flow.source.name().map(|name| &**name), Some("tools/free"), "{name}");
    }
}

/// If the host itself has a Service's address, as with a DNS cache on each node, a program on the host may answer
/// instead of the endpoints.
#[test]
fn a_service_address_on_the_host() {
    let slice = "
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4,
 metadata: {name: db-1, namespace: shop, labels: {kubernetes.io/service-name: db}},
 endpoints: [{addresses: [10.0.0.2]}], ports: [{port: 5432}]}
";
    let mut judge = judge();
    judge.set_state(engine(&format!("{CLUSTER}{slice}")), at(2));
    let plain = attempt(FREE, "10.96.0.2", 5432, Observed::Established);
    let translated = attempt(FREE, DB, 5432, Observed::Established);
    let translated = Attempt { service_address: Some(plain.tuple.destination), ..translated };
    let mut interfaces = interfaces();
    assert_eq!(judge.judge(plain, &interfaces).outcome, Outcome::NotEnforced);
    interfaces.set_host([plain.tuple.destination.address]);
    let flow = judge.judge(plain, &interfaces);
    assert_eq!(why(&flow), Some(&Undecidable::ServiceAddress), "{:?}", flow.expected);
    assert_eq!(judge.judge(translated, &interfaces).outcome, Outcome::NotEnforced, "IPVS");
}

/// A missing kind of object makes undecidable what depends on it, and nothing else.
#[test]
fn gaps() {
    use ObjectKind::{EndpointSlice, Namespace, NetworkPolicy, Node, Pod, Service};
    const OUTSIDE: &str = "203.0.113.9";
    for (gap, from, to, stale) in [
        (Pod, FREE, DB, true),
        (NetworkPolicy, FREE, DB, true),
        (ObjectKind::AdminNetworkPolicy, FREE, DB, true),
        (Namespace, FREE, DB, true),
        (Node, FREE, DB, false),
        (Node, OUTSIDE, DB, true),
        (Service, FREE, DB, false),
        (Service, FREE, OUTSIDE, true),
        (EndpointSlice, FREE, DB, false),
        (EndpointSlice, FREE, OUTSIDE, false),
        (EndpointSlice, FREE, "10.96.0.2", true),
    ] {
        let mut judge = judge();
        judge.set_unusable([gap].into_iter().collect());
        let flow = judge.judge(attempt(from, to, 5432, Observed::Established), &interfaces());
        assert_eq!(
            why(&flow) == Some(&Undecidable::Stale),
            stale,
            "{gap:?} {from} -> {to}: {:?}",
            flow.expected
        );
    }
}

#[test]
fn no_state_yet() {
    let judge = Judge::new(Clock { boot: Timestamp::UNIX_EPOCH }, reasons(), GRACE, KEEP);
    let flow = judge.judge(attempt(FREE, DB, 5432, Observed::Established), &interfaces());
    assert_eq!(why(&flow), Some(&Undecidable::Stale));
}

#[test]
fn words() {
    let flow = judge().judge(attempt(WEB, DB, 5432, DROPPED), &interfaces());
    assert_eq!(flow.drop_reason.as_deref(), Some("NETFILTER_DROP"));
    assert_eq!(flow.time, Timestamp::from_second(100).unwrap());
    assert_eq!(flow.source.name().map(|name| &**name), Some("shop/web"));
    let other = Attempt { other_drop: Some(3), ..attempt(WEB, DB, 5432, Observed::Unanswered) };
    assert_eq!(judge().judge(other, &interfaces()).drop_reason.as_deref(), Some("NO_SOCKET"));
}

/// Processes the steps `TIME FROM PORT OBSERVED` against `db`. Returns the findings that were emitted and the open
/// ones.
fn story(steps: &[(u64, &str, u16, Observed)]) -> (Vec<Finding>, Findings) {
    let (judge, interfaces, mut findings, mut told) =
        (judge(), interfaces(), Findings::default(), Vec::new());
    for &(time, from, port, observed) in steps {
        let attempt = Attempt { began: at(time), ..attempt(from, DB, port, observed) };
        told.extend(findings.flow(&judge.judge(attempt, &interfaces)));
    }
    (told, findings)
}

#[test]
fn a_finding_opens_once_and_counts() {
    let (told, findings) = story(&[
        (100, FREE, 5432, Observed::Established),
        (103, FREE, 5432, Observed::Refused),
        (102, FREE, 5432, Observed::Delivered),
    ]);
    assert_eq!(told.len(), 1);
    let [finding] = findings.list()[..] else { panic!("{:?}", findings.list()) };
    assert_eq!((finding.key.kind, finding.count), (FindingKind::NotEnforced, 3));
    assert_eq!(finding.first_seen, Timestamp::from_second(100).unwrap());
    assert_eq!(finding.last_seen, Timestamp::from_second(103).unwrap());
    assert_eq!(finding.policies.iter().map(ToString::to_string).collect::<Vec<_>>(), ["shop/db"]);
    assert_eq!(&*finding.key.source.name, "tools/free");
    assert!(finding.evidence.contains("went into the destination pod's interface"), "{}", finding.evidence);
}

#[test]
fn what_resolves_a_finding() {
    let wrong = (100, FREE, 5432, Observed::Established);
    for (name, next, open) in [
        ("a later one was enforced", (110, FREE, 5432, DROPPED), 0),
        ("an earlier one, decided later, was", (99, FREE, 5432, DROPPED), 1),
        ("no answer proves nothing", (110, FREE, 5432, Observed::Unanswered), 1),
        ("another port", (110, FREE, 22, DROPPED), 1),
        ("another source", (110, WEB, 5432, Observed::Established), 1),
    ] {
        let (told, findings) = story(&[wrong, next]);
        assert_eq!(findings.count(FindingKind::NotEnforced), open, "{name}");
        assert_eq!(
            told.iter().filter(|finding| finding.status == FindingStatus::Resolved).count(),
            1 - open,
            "{name}"
        );
    }
}

/// A finding for one IP family is not resolved by a connection of the other family.
#[test]
fn families_are_apart() {
    let judge = judge();
    let mut findings = Findings::default();
    let wrong = judge.judge(attempt(FREE, DB, 5432, Observed::Established), &interfaces());
    findings.flow(&wrong);
    let mut other = judge.judge(attempt(FREE, DB, 5432, DROPPED), &interfaces());
    other.attempt.tuple.destination.address = "fd00::2".parse().unwrap();
    other.attempt.began = at(200);
    findings.flow(&other);
    assert_eq!(findings.count(FindingKind::NotEnforced), 1);
}

#[test]
fn an_over_blocked_connection_that_gets_through_after_all() {
    let (judge, interfaces, mut findings) = (judge(), interfaces(), Findings::default());
    findings.flow(&judge.judge(attempt(WEB, DB, 5432, DROPPED), &interfaces));
    assert_eq!(findings.count(FindingKind::OverBlocked), 1);
    let revised = Attempt { revised: true, ..attempt(WEB, DB, 5432, Observed::Established) };
    let told = findings.flow(&judge.judge(revised, &interfaces));
    assert_eq!(told[0].status, FindingStatus::Resolved);
    assert_eq!(findings.count(FindingKind::OverBlocked), 0);
}

#[test]
fn findings_expire() {
    let (_, mut findings) = story(&[(100, FREE, 5432, Observed::Established)]);
    assert!(findings.expire(at(3_600)).is_empty());
    let told = findings.expire(at(4_000));
    assert_eq!(told[0].status, FindingStatus::Expired);
    assert!(findings.list().is_empty());
}

#[test]
fn findings_are_bounded() {
    let (judge, interfaces, mut findings) = (judge(), interfaces(), Findings::default());
    for port in 1..=10_100 {
        findings.flow(&judge.judge(attempt(FREE, DB, port, Observed::Established), &interfaces));
    }
    // 5432 is also denied to `free`.
    assert_eq!(findings.count(FindingKind::NotEnforced), 10_000);
    assert_eq!(findings.stats().overflowed, 100);
}
