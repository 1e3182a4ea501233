//! The compiled engine against the naive evaluator, and incremental compilation against compilation from nothing.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use netpol_agent::{
    cluster::{Index, Object, Snapshot},
    model::{Pod, Protocol},
    policy::{Compiler, ConnectionPeer, Engine, Query},
};

use crate::{
    naive::{answer_of, evaluate},
    random::{Random, cluster, object},
};

/// Addresses that a Service may have been used at, its own or a node's.
const VIA: [&[IpAddr]; 4] = [
    &[],
    &[IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1))],
    &[IpAddr::V4(Ipv4Addr::new(192, 168, 0, 1))],
    &[IpAddr::V4(Ipv4Addr::new(8, 8, 0, 1)), IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1))],
];

const CASES: usize = 150_000;
const CASES_A_CLUSTER: usize = 50;

fn index_of(objects: Vec<Object>) -> Index {
    let mut index = Index::new();
    index.sync(objects);
    index
}

/// Pods of the snapshot in a definite order.
fn pods(snapshot: &Snapshot) -> Vec<Arc<Pod>> {
    let mut pods: Vec<_> = snapshot.pods().cloned().collect();
    pods.sort_by(|a, b| a.key.cmp(&b.key));
    pods
}

fn party<'a>(random: &mut Random, pods: &'a [Arc<Pod>]) -> ConnectionPeer<'a> {
    const ADDRESSES: [&str; 8] = [
        "8.8.8.8",
        "8.9.9.9",
        "2001:db8::1",
        "192.168.0.0",
        "192.168.0.1",
        "10.0.0.99",
        "::ffff:8.8.8.8",
        "fd00::5",
    ];
    let pod = random.pick(pods);
    match random.below(10) {
        0..=5 => ConnectionPeer::Pod(pod),
        6 | 7 if !pod.ips.is_empty() => ConnectionPeer::PodAt(pod, *random.pick(&pod.ips)),
        8 if !pod.ips.is_empty() => ConnectionPeer::Ip(*random.pick(&pod.ips)),
        _ => ConnectionPeer::Ip(random.pick(&ADDRESSES).parse::<IpAddr>().unwrap()),
    }
}

fn query<'a>(random: &mut Random, pods: &'a [Arc<Pod>]) -> Query<'a> {
    let protocols = [
        Protocol::Tcp,
        Protocol::Tcp,
        Protocol::Tcp,
        Protocol::Udp,
        Protocol::Udp,
        Protocol::Sctp,
        Protocol::Icmp,
    ];
    Query {
        source: party(random, pods),
        destination: party(random, pods),
        protocol: *random.pick(&protocols),
        port: *random.pick(&[53, 80, 81, 443, 500, 8080, 8443, 65535]),
        via_service: random.chance(25).then(|| *random.pick(&VIA)),
    }
}

#[track_caller]
fn agree(seed: u64, engine: &Engine, query: &Query<'_>) {
    let compiled = answer_of(&engine.evaluate(query));
    let naive = evaluate(engine.snapshot(), query);
    if compiled != naive {
        let policies: Vec<_> = engine.snapshot().network_policies().collect();
        let tiers: Vec<_> = engine.snapshot().cluster_policies().collect();
        panic!(
            "seed {seed}: {query:#?}\nengine: {compiled:#?}\nnaive:  {naive:#?}\n{policies:#?}\n{tiers:#?}"
        );
    }
}

/// Runs one test per seed on all cores.
fn on_all_cores(seeds: usize, test: impl Fn(u64) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, Into::into) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        break;
                    }
                    test(u64::try_from(seed).unwrap());
                }
            });
        }
    });
}

#[test]
fn the_engine_agrees_with_the_naive_evaluator() {
    on_all_cores(CASES / CASES_A_CLUSTER, |seed| {
        let random = &mut Random::new(seed);
        let snapshot = index_of(cluster(random)).publish();
        let engine = Engine::compile(&snapshot);
        let pods = pods(&snapshot);
        for _ in 0..CASES_A_CLUSTER {
            agree(seed, &engine, &query(random, &pods));
        }
    });
}

#[test]
fn incremental_and_from_nothing_are_the_same() {
    on_all_cores(400, |seed| {
        let random = &mut Random::new(seed + 1_000_000);
        let mut index = index_of(cluster(random));
        let mut compiler = Compiler::new();
        for _ in 0..20 {
            let changes = 1 + random.below(4);
            for _ in 0..changes {
                let object = object(random);
                if random.chance(35) { index.delete(&object.reference()) } else { index.apply(object) }
            }
            let snapshot = index.publish();
            // A compiler that is late sees several changes at once.
            if random.chance(30) {
                continue;
            }
            let followed = compiler.update(&snapshot);
            let pods = pods(&snapshot);
            if pods.is_empty() {
                continue;
            }
            let mut anew = Index::new();
            anew.sync(objects(&snapshot));
            let fresh = Engine::compile(&anew.publish());
            for _ in 0..10 {
                let query = query(random, &pods);
                assert_eq!(
                    answer_of(&followed.evaluate(&query)),
                    answer_of(&fresh.evaluate(&query)),
                    "seed {seed}: {query:?}"
                );
                agree(seed, &followed, &query);
            }
        }
    });
}

/// Two states that are said to be the same for two addresses give the same verdicts there.
#[test]
fn what_states_share_decides_the_same() {
    let (shared, asked) = (AtomicUsize::new(0), AtomicUsize::new(0));
    on_all_cores(400, |seed| {
        let random = &mut Random::new(seed + 2_000_000);
        let mut index = index_of(cluster(random));
        let mut compiler = Compiler::new();
        let mut before = compiler.update(&index.publish());
        for _ in 0..20 {
            let object = object(random);
            if random.chance(35) {
                index.delete(&object.reference())
            } else {
                index.apply(object)
            }
            let after = compiler.update(&index.publish());
            let pods = pods(before.snapshot());
            for _ in 0..if pods.is_empty() { 0 } else { 10 } {
                let query = query(random, &pods);
                let Some(ips) = query.source.ip().zip(query.destination.ip()) else { continue };
                asked.fetch_add(1, Ordering::Relaxed);
                let peer = |ip| match before.snapshot().pod_by_ip(ip) {
                    Some(pod) => ConnectionPeer::PodAt(pod, ip),
                    None => ConnectionPeer::Ip(ip),
                };
                let query = Query { source: peer(ips.0), destination: peer(ips.1), ..query };
                if before.is_same_for(&after, query.source, query.destination) {
                    shared.fetch_add(1, Ordering::Relaxed);
                    let by_ip = Query {
                        source: ConnectionPeer::Ip(ips.0),
                        destination: ConnectionPeer::Ip(ips.1),
                        ..query
                    };
                    assert_eq!(
                        answer_of(&before.evaluate(&query)),
                        answer_of(&after.evaluate(&by_ip)),
                        "seed {seed}: {query:?}"
                    );
                }
            }
            before = after;
        }
    });
    let [shared, asked] = [shared, asked].map(|count| count.load(Ordering::Relaxed));
    assert!(shared * 4 > asked, "{shared} of {asked}: most changes concern neither end");
}

/// What a snapshot was made of.
fn objects(snapshot: &Snapshot) -> Vec<Object> {
    use netpol_agent::model::object::NamespaceOrigin;
    let namespaces = snapshot.namespaces().filter(|n| n.origin == NamespaceOrigin::Declared);
    let mut objects: Vec<Object> = namespaces.cloned().map(Object::Namespace).collect();
    objects.extend(snapshot.pods().cloned().map(Object::Pod));
    objects.extend(snapshot.nodes().cloned().map(Object::Node));
    objects.extend(snapshot.services().cloned().map(Object::Service));
    objects.extend(snapshot.network_policies().cloned().map(Object::NetworkPolicy));
    objects.extend(snapshot.cluster_policies().cloned().map(Object::ClusterPolicy));
    objects
}

#[test]
fn a_late_compiler_starts_from_nothing() {
    let random = &mut Random::new(7);
    let mut index = index_of(cluster(random));
    let mut compiler = Compiler::new();
    compiler.update(&index.publish());
    for _ in 0..200 {
        index.apply(object(random));
        index.publish();
    }
    let snapshot = index.publish();
    assert!(snapshot.changed_since(1).is_none());
    let engine = compiler.update(&snapshot);
    let pods = pods(&snapshot);
    for _ in 0..200 {
        agree(7, &engine, &query(random, &pods));
    }
}
