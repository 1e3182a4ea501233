//! Tests of the pipeline: the queue of waiting attempts, and the order of inputs.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use jiff::Timestamp;
use netpol_common::{ABI_VERSION, Direction, FlowTuple, PacketRecord, RecordHead, RecordKind, tcp};

use super::{
    Input, InterfaceChange, KernelCounts, Pipeline, PipelineConfig,
    pending::{PendingQueue, RECHECK_AFTER, Wait},
};
use crate::{
    cluster::{SyncStatus, manifests},
    flow::Limits,
    model::{
        Attempt, ConntrackEntry, DropHook, DropReasons, Endpoint, Expected, FindingStatus, Flow, Monotonic,
        ObjectKind, Observed, Outcome, Output, Place, Protocol, SocketAddress, Tuple, Undecidable,
    },
    policy::{ClusterView, Engine},
    verify::Clock,
};

/// A policy denies all connections to `db`; `web` accepts all.
const CLUSTER: &str = "
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop}, status: {podIP: 10.0.0.1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: shop, labels: {app: db}}, status: {podIP: 10.0.0.2}}
---
{apiVersion: v1, kind: Service, metadata: {name: db, namespace: shop},
 spec: {clusterIP: 10.96.0.2, selector: {app: db}, ports: [{port: 53, protocol: UDP}]}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: db, namespace: shop},
 spec: {podSelector: {matchLabels: {app: db}}}}
";

const fn at(second: u64) -> Monotonic {
    Monotonic::from_secs(second)
}

fn engine() -> Arc<Engine> {
    let manifests = manifests::parse("test.yaml", CLUSTER);
    assert!(manifests.errors.is_empty(), "{:?}", manifests.errors);
    Engine::compile(&manifests.snapshot())
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn tuple(protocol: Protocol, from: &str, to: &str, port: u16) -> Tuple {
    Tuple {
        protocol,
        source: SocketAddress { address: address(from), port: 40_000 },
        destination: SocketAddress { address: address(to), port },
    }
}

/// A pipeline on a node with both pods, and its outputs.
struct World {
    pipeline: Pipeline,
    out: Vec<Output>,
}

impl World {
    fn new() -> Self {
        let mut world = Self { pipeline: Pipeline::new(config()), out: Vec::new() };
        for (ifindex, ip) in [(1, "10.0.0.1"), (2, "10.0.0.2")] {
            let name = format!("veth{ifindex}").into();
            let places = vec![Place { netns: 0, ifindex }];
            let attached = InterfaceChange::Attached {
                ifindex,
                name,
                places,
                is_inside: true,
                at: at(1),
                created_at: None,
            };
            world.step(Input::Interface(attached));
            let addresses = vec![address(ip)];
            world.step(Input::Interface(InterfaceChange::Addresses { ifindex, addresses }));
        }
        world.step(Input::Interface(InterfaceChange::Synced));
        world
    }

    /// Creates the same pipeline with a cluster state that has been current for a long time.
    fn with_cluster() -> Self {
        let mut world = Self::new();
        world.view(SyncStatus::current(), 2);
        world
    }

    fn step(&mut self, input: Input<'_>) {
        self.pipeline.step(input, &mut |output| self.out.push(output));
    }

    fn view(&mut self, sync: SyncStatus, second: u64) {
        self.step(Input::View { view: ClusterView { engine: engine(), sync }, at: at(second) });
    }

    fn tick(&mut self, second: u64) {
        let time = Timestamp::from_second(i64::try_from(second).unwrap()).unwrap();
        self.step(Input::Counters { counts: KernelCounts::default(), at: at(second) });
        self.step(Input::Tick { now: at(second), time });
    }

    /// Sends a packet of `tuple` at an interface, as the kernel writes it.
    fn packet(&mut self, second: u64, ifindex: u32, direction: Direction, tuple: Tuple, tcp_flags: u8) {
        let record = record(second, ifindex, direction, tuple, tcp_flags);
        self.step(Input::Record(bytemuck::bytes_of(&record)));
    }

    /// Sends the packets of an established connection from `web` to `db`, which the policy denies.
    fn leak(&mut self, second: u64, port: u16) {
        let tuple = tuple(Protocol::Tcp, "10.0.0.1", "10.0.0.2", port);
        self.packet(second, 1, Direction::FromPod, tuple, tcp::SYN);
        self.packet(second, 2, Direction::ToPod, tuple, tcp::SYN);
        self.packet(second, 2, Direction::FromPod, tuple.reversed(), tcp::SYN | tcp::ACK);
        self.packet(second, 1, Direction::ToPod, tuple.reversed(), tcp::SYN | tcp::ACK);
    }

    fn flows(&self) -> Vec<&Flow> {
        self.out
            .iter()
            .filter_map(|output| if let Output::Flow(flow) = output { Some(flow) } else { None })
            .collect()
    }

    fn queries(&self) -> Vec<crate::model::ConntrackQuery> {
        let query = |output: &Output| if let Output::Conntrack(query) = output { Some(*query) } else { None };
        self.out.iter().filter_map(query).collect()
    }
}

fn config() -> PipelineConfig {
    PipelineConfig {
        limits: Limits::default(),
        grace: Duration::from_secs(5),
        stale_after: Duration::from_secs(60),
        host_netns: None,
        reasons: DropReasons::new(BTreeMap::new()),
        clock: Clock { boot: Timestamp::UNIX_EPOCH },
        node: None,
    }
}

fn record(second: u64, ifindex: u32, direction: Direction, tuple: Tuple, tcp_flags: u8) -> PacketRecord {
    let words = |address: IpAddr| match address {
        IpAddr::V4(address) => [u32::from_ne_bytes(address.octets()), 0, 0, 0],
        IpAddr::V6(_) => panic!("IPv4 alone"),
    };
    PacketRecord {
        head: RecordHead {
            time_ns: at(second).as_nanos(),
            ifindex,
            netns: 0,
            version: ABI_VERSION,
            kind: RecordKind::Packet as u8,
            direction: direction as u8,
            padding: 0,
            padding_end: 0,
        },
        tuple: FlowTuple {
            source: words(tuple.source.address),
            destination: words(tuple.destination.address),
            source_port: tuple.source.port,
            destination_port: tuple.destination.port,
            protocol: tuple.protocol.number(),
            family: 4,
            padding: 0,
        },
        sequence: 7,
        acknowledgment: 8,
        packets: 1,
        bytes: 60,
        tcp_flags,
        message: 0,
        code: 0,
        padding: 0,
        padding_end: 0,
    }
}

/// A connection that looks wrong is judged twice, and reported once.
#[test]
fn a_leak() {
    let mut world = World::with_cluster();
    world.leak(100, 5432);
    assert!(world.flows().is_empty(), "it is judged once more first");
    world.tick(101);
    assert!(world.flows().is_empty());
    world.tick(103);
    assert_eq!(world.flows().iter().map(|flow| flow.outcome).collect::<Vec<_>>(), [Outcome::NotEnforced]);
    let opened = world.out.iter().filter(
        |output| matches!(output, Output::Finding { finding, .. } if finding.status == FindingStatus::Open),
    );
    assert_eq!(opened.count(), 1);
}

/// A cluster state and its sync status are replaced together: no verdict uses one with the gaps of the other.
#[test]
fn a_view_is_one_value() {
    let lost = || {
        let mut sync = SyncStatus::current();
        sync.set_lost(ObjectKind::NetworkPolicy, at(3));
        sync
    };
    for (name, sync, outcome) in [
        ("all is known", SyncStatus::current(), Outcome::NotEnforced),
        ("nothing is known", SyncStatus::default(), Outcome::Undecidable),
        ("policies were known, long ago", lost(), Outcome::Undecidable),
    ] {
        let mut world = World::new();
        world.view(sync, 2);
        world.leak(100, 5432);
        world.tick(103);
        let flows = world.flows();
        assert_eq!(flows.iter().map(|flow| flow.outcome).collect::<Vec<_>>(), [outcome], "{name}");
        if outcome == Outcome::Undecidable {
            assert_eq!(flows[0].expected, Expected::Undecidable(Undecidable::Stale), "{name}");
        }
    }
    // A current state becomes too old with time alone, between two ticks of the same view.
    let mut world = World::new();
    world.view(lost(), 2);
    for (second, outcome) in [(60, Outcome::NotEnforced), (100, Outcome::Undecidable)] {
        world.out.clear();
        world.tick(second - 1);
        world.leak(second, u16::try_from(second).unwrap());
        world.tick(second + 2);
        assert_eq!(
            world.flows().iter().map(|flow| flow.outcome).collect::<Vec<_>>(),
            [outcome],
            "{second} s: known until 3 s, and good for 60 s"
        );
    }
}

/// An empty view, before anything has been listed, is not a state. Nothing is judged by it, now or later.
#[test]
fn before_the_first_state() {
    let mut world = World::new();
    world.step(Input::View { view: ClusterView::empty(), at: at(2) });
    world.leak(3, 5432);
    world.tick(6);
    assert_eq!(world.flows()[0].expected, Expected::Undecidable(Undecidable::Stale));
    world.out.clear();
    world.view(SyncStatus::current(), 7);
    world.leak(8, 5433);
    world.tick(11);
    assert_eq!(
        world.flows()[0].outcome,
        Outcome::NotEnforced,
        "the empty view is none of the states of late"
    );
}

/// Connection tracking is queried for the endpoint that a Service's address was translated to, and for the opener of a
/// conversation.
#[test]
fn what_connection_tracking_is_asked() {
    let service = tuple(Protocol::Udp, "10.0.0.1", "10.96.0.2", 53);
    let endpoint = tuple(Protocol::Udp, "10.0.0.1", "10.0.0.2", 53);
    let entry = |original: Tuple| ConntrackEntry { original, reply: endpoint.reversed() };
    for (name, answers, outcome) in [
        ("no answer", vec![], Outcome::Undecidable),
        ("nothing is tracked", vec![None, None], Outcome::Undecidable),
        ("its endpoint", vec![Some(entry(service)), Some(entry(service))], Outcome::PresumedEnforced),
    ] {
        let mut world = World::with_cluster();
        world.packet(100, 1, Direction::FromPod, service, 0);
        world.tick(106);
        let asked = world.queries();
        assert_eq!(asked.iter().map(|query| query.tuple).collect::<Vec<_>>(), [service], "{name}");
        let has_endpoint = answers.iter().any(Option::is_some);
        for answer in answers {
            world.step(Input::Conntrack { query: asked[0], answer });
        }
        world.tick(120);
        let flows = world.flows();
        assert_eq!(flows.iter().map(|flow| flow.outcome).collect::<Vec<_>>(), [outcome], "{name}");
        let is_pod = matches!(flows[0].destination, Endpoint::Pod(_));
        assert_eq!(is_pod, has_endpoint, "{name}: {:?}", flows[0].destination);
    }
    // A datagram against the policies may be a reply, whichever side the agent saw first.
    for (name, original, outcome) in [
        ("who sent it opened", endpoint, Outcome::NotEnforced),
        ("who got it opened", endpoint.reversed(), Outcome::Undecidable),
    ] {
        let mut world = World::with_cluster();
        world.packet(200, 1, Direction::FromPod, endpoint, 0);
        world.packet(200, 2, Direction::ToPod, endpoint, 0);
        world.tick(203);
        let query = world.queries()[0];
        assert_eq!(query.tuple, endpoint);
        assert!(world.flows().is_empty(), "{name}");
        world.step(Input::Conntrack { query, answer: Some(entry(original)) });
        world.tick(210);
        assert_eq!(world.flows().iter().map(|flow| flow.outcome).collect::<Vec<_>>(), [outcome], "{name}");
    }
}

/// At the end of the run only answers of connection tracking are waited for: without them a reply would look like a
/// leak.
#[test]
fn the_end() {
    let datagram = tuple(Protocol::Udp, "10.0.0.1", "10.0.0.2", 53);
    let mut world = World::with_cluster();
    world.leak(100, 5432);
    world.packet(100, 1, Direction::FromPod, datagram, 0);
    world.packet(100, 2, Direction::ToPod, datagram, 0);
    world.tick(102);
    world.step(Input::Finish);
    let is_summary = |output: &Output| matches!(output, Output::Summary(_));
    assert!(!world.out.iter().any(is_summary), "an answer is awaited");
    let query = world.queries()[0];
    let entry = ConntrackEntry { original: datagram.reversed(), reply: datagram };
    world.step(Input::Conntrack { query, answer: Some(entry) });
    let Some(Output::Summary(summary)) = world.out.last() else { panic!("{:?}", world.out.last()) };
    let outcomes: Vec<_> = summary.flows.iter().map(|(outcome, count)| (*outcome, *count)).collect();
    assert_eq!(outcomes, [(Outcome::NotEnforced, 1), (Outcome::Undecidable, 1)]);
    assert_eq!(summary.findings.len(), 1);
    assert_eq!(world.out.iter().filter(|output| is_summary(output)).count(), 1);
}

/// Returns a flow of an attempt from this address that was decided at this second.
fn flow(from: &str, outcome: Outcome, second: u64) -> Flow {
    let attempt = Attempt {
        tuple: tuple(Protocol::Tcp, from, "10.0.0.2", 5432),
        service_address: None,
        began: at(second),
        decided: at(second),
        observed: match outcome {
            Outcome::Enforced => Observed::Dropped { reason: 1, hook: DropHook::Netfilter, reply: false },
            _ => Observed::Established,
        },
        retransmissions: 0,
        drops: 0,
        other_drop: None,
        source_interface: None,
        destination_interface: None,
        arrived: false,
        left_node: false,
        source_unseen: false,
        spoof_candidate: None,
        pre_existing: false,
        records_lost: false,
        revised: false,
        is_recheck: false,
    };
    Flow {
        time: Timestamp::UNIX_EPOCH,
        attempt,
        drop_reason: None,
        source: Endpoint::World,
        destination: Endpoint::World,
        service: None,
        expected: Expected::Allowed { by: Vec::new() },
        outcome,
    }
}

/// A wrong-looking attempt waits, and so do similar ones after it: a finding is not resolved before it is opened.
#[test]
fn suspects() {
    let mut queue = PendingQueue::default();
    let mut push = |from: &str, outcome, second| queue.push_if_suspect(&flow(from, outcome, second));
    assert!(!push("10.0.0.3", Outcome::Enforced, 100), "right, and nothing about the same waits");
    assert!(push("10.0.0.3", Outcome::NotEnforced, 101), "wrong");
    assert!(push("10.0.0.3", Outcome::Enforced, 102), "right, after a wrong one");
    assert!(!push("10.0.0.3", Outcome::Unanswered, 102), "proves nothing");
    assert!(!push("10.0.0.1", Outcome::Conforming, 102), "right, and from elsewhere");
    let after = RECHECK_AFTER.as_secs();
    let mut due = |second| queue.pop_due(at(second)).map(|(_, attempt)| attempt.decided);
    assert_eq!(due(100 + after), None);
    assert_eq!(due(101 + after), Some(at(101)));
    assert_eq!(due(101 + after), None);
    assert_eq!(due(102 + after), Some(at(102)));
    assert_eq!(due(1_000), None);
    assert!(!queue.push_if_suspect(&flow("10.0.0.3", Outcome::Enforced, 110)), "none waits any more");
}

/// Every attempt is judged in time, whatever it waits for.
#[test]
fn nothing_waits_for_ever() {
    let attempt = flow("10.0.0.3", Outcome::NotEnforced, 100).attempt;
    let mut queue = PendingQueue::default();
    let query = queue.ask(Wait::Opener, &attempt).unwrap();
    assert!(queue.await_report(attempt.decided + crate::identity::IP_REPORT_TIMEOUT, &attempt));
    assert!(queue.push_if_suspect(&flow("10.0.0.3", Outcome::NotEnforced, 100)));
    let deadline = attempt.decided + PendingQueue::max_delay();
    let mut waits = Vec::new();
    while let Some((wait, _)) = queue.pop_due(deadline) {
        waits.push(wait);
    }
    assert_eq!(waits, [Wait::Opener, Wait::Recheck, Wait::Report]);
    assert!(queue.answered(&query).is_none(), "the answer is too late");
    // An answer in time is used once.
    let query = queue.ask(Wait::Opener, &attempt).unwrap();
    assert!(queue.answered(&query).is_some() && queue.answered(&query).is_none());
    assert!(!queue.awaits_answers());
}
