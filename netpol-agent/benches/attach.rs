//! How long after a pod's interface appears the programs are on it.
//!
//! The clock starts before the pod's veth pair is made, so that what is shown is more than the time from the link
//! event. As root.

#![expect(clippy::unwrap_used, reason = "a benchmark that can't run has nothing better to do than to stop")]

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use aya::programs::{SchedClassifier, TcAttachType};
use netpol_testkit::{
    agent::{Agent, Printing},
    netns::{Lab, PodSpec},
};
use tempfile::TempDir;

const PODS: usize = 100;

/// What is promised, from the link event on.
const GOAL: Duration = Duration::from_millis(100);

fn main() {
    let lab = Lab::new().unwrap();
    let first = lab.add_pod(PodSpec::new("bench", "first")).unwrap();
    let manifests = TempDir::with_prefix("netpol-bench-").unwrap();
    lab.write_manifests(manifests.path()).unwrap();
    let path = manifests.path().display().to_string();
    let binary = Path::new(env!("CARGO_BIN_EXE_netpol-agent"));
    let _agent = Agent::start(&lab, binary, ["run", "--manifests", &path], Printing::Kept).unwrap();
    assert!(is_attached(&lab, first.host_ifname()));
    let mut times: Vec<Duration> = (0..PODS)
        .map(|number| {
            let start = Instant::now();
            let pod = lab.add_pod(PodSpec::new("bench", &format!("pod-{number}"))).unwrap();
            while !is_attached(&lab, pod.host_ifname()) {
                thread::sleep(Duration::from_micros(200));
            }
            start.elapsed()
        })
        .collect();
    times.sort();
    println!("\n| pods | median, ms | 99th percentile, ms | longest, ms | goal |");
    println!("|---:|---:|---:|---:|---:|");
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "| {PODS} | {:.1} | {:.1} | {:.1} | ≤ {} ms |",
        ms(times[PODS / 2]),
        ms(times[PODS * 99 / 100]),
        ms(times[PODS - 1]),
        ms(GOAL)
    );
}

fn is_attached(lab: &Lab, interface: &str) -> bool {
    lab.run(|| {
        [TcAttachType::Ingress, TcAttachType::Egress].into_iter().all(|side| {
            SchedClassifier::query_tcx(interface, side).is_ok_and(|(_, programs)| !programs.is_empty())
        })
    })
    .unwrap()
}
