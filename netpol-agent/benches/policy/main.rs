//! How fast policies compile and judge, against what is promised.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark fails as a test does")]

mod world;

use std::{
    fs,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use netpol_agent::{
    cluster::{Index, Object, Snapshot},
    model::{Pod, Protocol},
    policy::{Compiler, ConnectionPeer, Engine, Matrix, Query},
};

use crate::world::{Size, objects, pod};

const SIZE: Size = Size { namespaces: 1_000, pods: 10_000, policies: 5_000 };
const LARGE: Size = Size { namespaces: 2_000, pods: 100_000, policies: 10_000 };

fn main() {
    println!("{:<44} {:>12} {:>12} {:>7}", "policy", "measured", "promised", "ratio");
    memory();
    let mut index = Index::new();
    index.sync(objects(SIZE));
    let snapshot = index.publish();
    compile(&snapshot);
    change(&mut index);
    let engine = Engine::compile(&snapshot);
    evaluation(&engine);
    matrix(&engine);
}

fn row(what: &str, measured: f64, promised: f64, unit: &str) {
    let ratio = measured / promised;
    println!(
        "{what:<44} {:>12} {:>12} {ratio:>6.2}x",
        format!("{measured:.1} {unit}"),
        format!("{promised} {unit}")
    );
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The median time of some runs.
fn median(runs: usize, mut run: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<Duration> = (0..runs).map(|_| run()).collect();
    times.sort();
    times[times.len() / 2]
}

fn timed<T>(what: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(what());
    start.elapsed()
}

fn compile(snapshot: &Arc<Snapshot>) {
    let time = median(5, || timed(|| Engine::compile(snapshot)));
    row("compile 10,000 pods, 5,000 policies", ms(time), 1000.0, "ms");
}

/// From a pod's new labels to the engine that judges by them: index, snapshot and compilation.
fn change(index: &mut Index) {
    let mut compiler = Compiler::new();
    compiler.update(&index.publish());
    let mut round = 0;
    let mut one = |change: &mut dyn FnMut(&mut Index, usize)| {
        median(500, || {
            round += 1;
            timed(|| {
                change(index, round);
                compiler.update(&index.publish())
            })
        })
    };
    let labels = one(&mut |index, round| {
        index.apply(Object::Pod(Arc::new(pod(SIZE, round % SIZE.pods, &format!("v{round}")))));
    });
    row("one pod's labels change", ms(labels), 1.0, "ms");
    let policies: Vec<Object> = objects(SIZE).filter(|o| matches!(o, Object::NetworkPolicy(_))).collect();
    let policy = one(&mut |index, round| {
        let policy = policies[round % policies.len()].clone();
        index.delete(&policy.reference());
        index.publish();
        index.apply(policy);
    });
    row("one policy is replaced", ms(policy), 1.0, "ms");
}

fn pods(engine: &Engine) -> Vec<Arc<Pod>> {
    let mut pods: Vec<_> = engine.snapshot().pods().cloned().collect();
    pods.sort_by(|a, b| a.key.cmp(&b.key));
    pods
}

fn evaluation(engine: &Engine) {
    let pods = pods(engine);
    let pair = |i: usize| {
        let from = &pods[(i * 7_919) % pods.len()];
        // Every other connection stays in its namespace.
        let to = if i.is_multiple_of(2) {
            &pods[(i * 104_729) % pods.len()]
        } else {
            &pods[((i * 7_919) / 10 * 10 + i) % pods.len()]
        };
        (from, to)
    };
    let ask = |i: usize, by_ip: bool| {
        let (from, to) = pair(i);
        let (source, destination) = if by_ip {
            (ConnectionPeer::Ip(from.ips[0]), ConnectionPeer::Ip(to.ips[0]))
        } else {
            (ConnectionPeer::Pod(from), ConnectionPeer::Pod(to))
        };
        let query = Query { source, destination, protocol: Protocol::Tcp, port: 8080, via_service: None };
        engine.evaluate(&query).allowed()
    };
    const BATCH: usize = 100;
    for (what, by_ip) in [("evaluation of pods, median", false), ("evaluation of addresses, median", true)] {
        let mut next = 0;
        let time = median(5_000, || {
            next += BATCH;
            timed(|| (next..next + BATCH).filter(|i| ask(*i, by_ip)).count())
        });
        row(what, time.as_secs_f64() * 1e9 / 100.0, 500.0, "ns");
    }
    let time = timed(|| (0..2_000_000).filter(|i| ask(*i, false)).count());
    let rate = 2.0 / time.as_secs_f64();
    println!(
        "{:<44} {:>12} {:>12} {:>6.2}x",
        "evaluations a second and core",
        format!("{rate:.1} M"),
        "2 M",
        2.0 / rate
    );
}

fn matrix(engine: &Engine) {
    let pods = pods(engine);
    let time = timed(|| Matrix::new(engine, pods, Protocol::Tcp, 8080).groups().len());
    row("matrix of 10,000 x 10,000 pods", time.as_secs_f64(), 10.0, "s");
}

/// What the state and the engine of a large cluster take.
fn memory() {
    let before = resident();
    let mut index = Index::new();
    for object in objects(LARGE) {
        index.apply(object);
    }
    let mut compiler = Compiler::new();
    let engine = compiler.update(&index.publish());
    row("memory of 100,000 pods, 10,000 policies", resident() - before, 100.0, "MB");
    drop((index, compiler, engine));
}

/// This process's resident memory in MB.
fn resident() -> f64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: f64 = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096.0 / 1e6
}
