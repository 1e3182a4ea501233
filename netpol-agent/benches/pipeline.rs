//! How many records a second the agent takes from bytes to verdict, metrics and findings, on one core.
//!
//! Each connection is what two pods of one node make of it: six records (SYN and SYN-ACK at both veths, a FIN out of
//! each pod), 50 pods, policies that admit some connections and deny others.

#![expect(clippy::unwrap_used, reason = "a benchmark that can't run has nothing better to do than to stop")]

use std::{collections::BTreeMap, fmt::Write as _, hint::black_box, net::Ipv4Addr, time::Duration};

use divan::{Bencher, counter::ItemsCount};
use jiff::Timestamp;
use netpol_agent::{
    cluster::{SyncStatus, manifests},
    flow::Limits,
    model::{DropReasons, Monotonic, Output, Place},
    pipeline::{Input, InterfaceChange, Pipeline, PipelineConfig},
    policy::{ClusterView, Engine},
    sink::{Sink as _, metrics::Metrics},
    verify::Clock,
};
use netpol_common::{ABI_VERSION, Direction, FlowTuple, PacketRecord, RecordHead, RecordKind, tcp};

const PODS: u8 = 50;
const CONNECTIONS: u32 = 20_000;

fn main() {
    divan::main();
}

#[divan::bench(min_time = 3)]
fn decode_to_verdict(bencher: Bencher<'_, '_>) {
    let records = records();
    bencher.counter(ItemsCount::new(records.len())).with_inputs(pipeline).bench_local_values(
        |mut pipeline| {
            let mut metrics = Metrics::default();
            for record in &records {
                pipeline.step(Input::Record(record), &mut |output| match black_box(output) {
                    Output::Flow(flow) => metrics.flow(&flow),
                    Output::Finding { finding, time } => metrics.finding(&finding, time),
                    _ => {}
                });
            }
            pipeline
        },
    );
}

fn address(pod: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, pod)
}

/// Odd pods may be reached by odd ones alone; nothing selects the even ones.
fn pipeline() -> Pipeline {
    let mut yaml = String::new();
    for pod in 1..=PODS {
        let parity = if pod % 2 == 0 { "even" } else { "odd" };
        writeln!(
            yaml,
            "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: p{pod}, namespace: n, labels: {{parity: {parity}}}}}, \
             status: {{phase: Running, podIPs: [{{ip: {}}}]}}}}",
            address(pod)
        )
        .unwrap();
    }
    yaml += "---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: odd, namespace: n}, \
             spec: {podSelector: {matchLabels: {parity: odd}}, \
             ingress: [{from: [{podSelector: {matchLabels: {parity: odd}}}]}]}}\n";
    let manifests = manifests::parse("bench.yaml", &yaml);
    assert!(manifests.errors.is_empty(), "{:?}", manifests.errors);
    let mut pipeline = Pipeline::new(PipelineConfig {
        limits: Limits::default(),
        grace: Duration::ZERO,
        stale_after: Duration::MAX,
        host_netns: None,
        reasons: DropReasons::new(BTreeMap::new()),
        clock: Clock { boot: Timestamp::UNIX_EPOCH },
        node: None,
    });
    let mut feed = |input| pipeline.step(input, &mut |_| {});
    let view = ClusterView { engine: Engine::compile(&manifests.snapshot()), sync: SyncStatus::current() };
    feed(Input::View { view, at: Monotonic::ZERO });
    for pod in 1..=PODS {
        let (ifindex, at) = (u32::from(pod), Monotonic::ZERO);
        let name = format!("veth{pod}").into();
        let places = vec![Place { netns: 0, ifindex }];
        let attached =
            InterfaceChange::Attached { ifindex, name, places, is_inside: true, at, created_at: None };
        feed(Input::Interface(attached));
        let addresses = vec![address(pod).into()];
        feed(Input::Interface(InterfaceChange::Addresses { ifindex, addresses }));
    }
    pipeline
}

fn records() -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    for number in 0..CONNECTIONS {
        let (from, to) = ((number % 49 + 1) as u8, (number / 49 % 50 + 1) as u8);
        let port = 32_768 + (number % 28_000) as u16;
        let opening = |pod, direction| packet(from, to, port, 80, pod, direction, tcp::SYN, number);
        let answer = |pod, direction| packet(to, from, 80, port, pod, direction, tcp::SYN | tcp::ACK, number);
        records.extend([
            opening(from, Direction::FromPod),
            opening(to, Direction::ToPod),
            answer(to, Direction::FromPod),
            answer(from, Direction::ToPod),
            packet(from, to, port, 80, from, Direction::FromPod, tcp::FIN | tcp::ACK, number),
            packet(to, from, 80, port, to, Direction::FromPod, tcp::FIN | tcp::ACK, number),
        ]);
    }
    records
}

#[expect(clippy::too_many_arguments, reason = "one for each field that varies")]
fn packet(
    from: u8,
    to: u8,
    source_port: u16,
    destination_port: u16,
    pod: u8,
    direction: Direction,
    tcp_flags: u8,
    number: u32,
) -> Vec<u8> {
    let words = |pod| [u32::from_ne_bytes(address(pod).octets()), 0, 0, 0];
    let record = PacketRecord {
        head: RecordHead {
            time_ns: u64::from(number) * 10_000,
            ifindex: u32::from(pod),
            netns: 0,
            version: ABI_VERSION,
            kind: RecordKind::Packet as u8,
            direction: direction as u8,
            padding: 0,
            padding_end: 0,
        },
        tuple: FlowTuple {
            source: words(from),
            destination: words(to),
            source_port,
            destination_port,
            protocol: 6,
            family: 4,
            padding: 0,
        },
        sequence: number,
        acknowledgment: 0,
        packets: 1,
        bytes: 74,
        tcp_flags,
        message: 0,
        code: 0,
        padding: 0,
        padding_end: 0,
    };
    bytemuck::bytes_of(&record).to_vec()
}
