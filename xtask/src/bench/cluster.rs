//! A large cluster: the agent's memory, its first sync, and how soon a change counts in verdicts.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use clap::Parser;
use netpol_testkit::{
    agent::{Agent, Printing},
    netns::{Lab, Pod, PodSpec, Server},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    connections::of_process,
    memory::resident,
    stream::{Objects, Stream},
    subject::METRICS,
    table,
};
use crate::build;

const PORT: u16 = 8080;

/// From one connection that looks at the verdict to the next.
const LOOK: Duration = Duration::from_millis(2);

#[derive(Debug, Parser)]
pub(super) struct ClusterArgs {
    /// Pods in the cluster
    #[arg(long, default_value_t = 50_000)]
    pods: u32,
    /// Namespaces that they are in
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..))]
    namespaces: u32,
    /// NetworkPolicies, one namespace after the other
    #[arg(long, default_value_t = 5_000)]
    policies: u32,
    /// Changed pods a second
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// How long to measure CPU time, and then as long again the delay
    #[arg(long, default_value_t = 40, value_name = "SECONDS")]
    seconds: u64,
}

pub(super) fn run(args: &ClusterArgs) -> Result<()> {
    let lab = Lab::new()?;
    let client = lab.add_pod(PodSpec::new("bench", "client"))?;
    let server = lab.add_pod(PodSpec::new("bench", "server"))?;
    let _listening = Server::tcp(&server, PORT)?;
    let stream = Stream::start(&lab, objects(args, &client, &server))?;
    let folder = TempDir::with_prefix("netpol-bench-").context("making a folder for the kubeconfig")?;
    let start = Instant::now();
    let agent = agent(&lab, &folder.path().join("kubeconfig"), stream.address)?;
    let synced = start.elapsed();
    let after_sync = resident(&agent)?;

    let mut changes = Changes { stream: &stream, args, made: 0 };
    let (before, time) = (of_process(&agent)?, Instant::now());
    changes.go_on(Duration::from_secs(args.seconds), |_| Ok(()))?;
    let cpu = (of_process(&agent)? - before) / time.elapsed().as_secs_f64();
    let flips = flip(&mut changes, &client, &server)?;
    let at_end = resident(&agent)?;
    let delays = delays(&agent.stop()?, &flips)?;
    let longest = delays.iter().copied().fold(f64::NAN, f64::max);
    table::print(
        &format!(
            "{} pods, {} namespaces, {} policies; {} changed pods a second",
            args.pods, args.namespaces, args.policies, args.rate
        ),
        &[
            table::row(["what", "measured", "goal"]),
            cells("first sync", format!("{:.1} s", synced.as_secs_f64()), ""),
            cells("resident after it", format!("{after_sync:.0} MB"), "≤ 150 MB"),
            cells("resident at the end", format!("{at_end:.0} MB"), "≤ 150 MB"),
            cells("CPU of a core, changes alone", format!("{:.1} %", cpu * 100.0), "≤ 5 %"),
            cells("change to verdict, median", format!("{:.1} ms", table::median(delays.clone())), "≤ 50 ms"),
            cells(
                &format!("change to verdict, longest of {}", delays.len()),
                format!("{longest:.1} ms"),
                "≤ 50 ms",
            ),
        ],
    );
    Ok(())
}

fn cells(what: &str, measured: String, goal: &str) -> Vec<String> {
    vec![what.to_owned(), measured, goal.to_owned()]
}

fn agent(lab: &Lab, kubeconfig: &Path, address: SocketAddr) -> Result<Agent> {
    let text = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "bench", "cluster": { "server": format!("http://{address}") } }],
        "users": [{ "name": "bench", "user": {} }],
        "contexts": [{ "name": "bench", "context": { "cluster": "bench", "user": "bench" } }],
        "current-context": "bench",
    });
    fs::write(kubeconfig, text.to_string()).with_context(|| format!("writing {}", kubeconfig.display()))?;
    let path = kubeconfig.display().to_string();
    let args = ["run", "--kubeconfig", &path, "--output", "json", "--grace", "0", "--metrics-addr", METRICS];
    Agent::start(lab, &build::agent(), args, Printing::Kept)
}

/// What the API has: the cluster, and in it the two pods of the lab.
fn objects(args: &ClusterArgs, client: &Pod, server: &Pod) -> Objects {
    let ClusterArgs { pods, namespaces, policies, .. } = *args;
    let namespace = |number: u32| json!({ "metadata": { "name": format!("team-{number}"), "labels": { "team": format!("t{}", number % 50) } } });
    let node = json!({
        "metadata": { "name": Lab::NODE },
        "status": { "addresses": [{ "type": "InternalIP", "address": "192.0.2.1" }] },
    });
    let mine = [lab_pod(client, "client"), lab_pod(server, "server")];
    let policies = (0..policies).map(|number| policy(number, namespaces)).chain([closed()]);
    Objects::from([
        ("/api/v1/pods", (0..pods).map(|number| pod(args, number, 0)).chain(mine).collect()),
        ("/api/v1/namespaces", (0..namespaces).map(namespace).collect()),
        ("/api/v1/nodes", vec![node]),
        ("/api/v1/services", Vec::new()),
        ("/apis/networking.k8s.io/v1/networkpolicies", policies.collect()),
        ("/apis/discovery.k8s.io/v1/endpointslices", Vec::new()),
    ])
}

/// A pod as a Deployment's usually is; `change` tells one of its versions from another, in a label.
fn pod(args: &ClusterArgs, number: u32, change: u32) -> Value {
    let (app, hash) = (format!("app-{}", number / 10 % 500), "7c5ddbdf54");
    let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 128, 0, 0)) + number);
    json!({
        "metadata": {
            "name": format!("{app}-{hash}-{number:05}"),
            "namespace": format!("team-{}", number % args.namespaces),
            "uid": format!("00000000-0000-4000-8000-{number:012}"),
            "resourceVersion": (u64::from(change) + 2).to_string(),
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": { "app": app, "pod-template-hash": hash, "change": (change % 3).to_string() },
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{app}-{hash}"),
                                  "uid": "00000000-0000-4000-8000-000000000000", "controller": true }],
        },
        "spec": {
            "nodeName": format!("node-{}", number % 500),
            "containers": [{ "name": "main", "image": "registry.example/app:1.2.3", "env": [{ "name": "A", "value": "b" }],
                             "ports": [{ "name": "http", "containerPort": 8080, "protocol": "TCP" }] }],
        },
        "status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{ "ip": address }],
            "conditions": [{ "type": "Ready", "status": "True" }],
        },
    })
}

fn lab_pod(pod: &Pod, role: &str) -> Value {
    json!({
        "metadata": { "name": pod.name(), "namespace": pod.namespace(), "uid": pod.uid(), "labels": { "role": role } },
        "spec": { "nodeName": Lab::NODE, "containers": [{ "name": "main", "image": "lab" }] },
        "status": { "phase": "Running", "podIP": pod.ip(), "podIPs": [{ "ip": pod.ip() }] },
    })
}

/// Pods of an application take connections from another one, and from all pods of some namespaces.
fn policy(number: u32, namespaces: u32) -> Value {
    let app = number % 500;
    json!({
        "metadata": { "name": format!("app-{app}"), "namespace": format!("team-{}", number % namespaces) },
        "spec": {
            "podSelector": { "matchLabels": { "app": format!("app-{app}") } },
            "policyTypes": ["Ingress"],
            "ingress": [
                { "from": [{ "podSelector": { "matchLabels": { "app": format!("app-{}", app + 1) } } }],
                  "ports": [{ "port": 8080 }] },
                { "from": [{ "namespaceSelector": { "matchLabels": { "team": format!("t{}", number % 50) } } }] },
            ],
        },
    })
}

/// Nobody may reach a pod while it is the server.
fn closed() -> Value {
    json!({
        "metadata": { "name": "closed", "namespace": "bench" },
        "spec": { "podSelector": { "matchLabels": { "role": "server" } }, "policyTypes": ["Ingress"] },
    })
}

/// Pods that change at an even rate.
struct Changes<'a> {
    stream: &'a Stream,
    args: &'a ClusterArgs,
    made: u32,
}

impl Changes<'_> {
    /// Goes on for so long; between two changes, `meanwhile` is called, with the time since the start.
    fn go_on(&mut self, time: Duration, mut meanwhile: impl FnMut(Duration) -> Result<()>) -> Result<()> {
        let (start, before) = (Instant::now(), self.made);
        while start.elapsed() < time {
            let due = Duration::from_secs(1) * (self.made - before) / self.args.rate;
            if start.elapsed() < due {
                meanwhile(start.elapsed())?;
                thread::sleep(LOOK);
                continue;
            }
            // All over the cluster, one after the other.
            let number = self.made.wrapping_mul(7919) % self.args.pods;
            self.stream.modified(&pod(self.args, number, self.made + 1));
            self.made += 1;
        }
        Ok(())
    }
}

/// The moment of a change, and the verdict that it leads to.
struct Flip {
    at: Duration,
    verdict: &'static str,
}

/// Longer than the agent holds what looks wrong: what changes in that time is undecidable.
const FLIP_EVERY: u64 = 4;

/// Every so many seconds the server becomes one, or ceases to be one; all the time it is connected to.
fn flip(changes: &mut Changes<'_>, client: &Pod, server: &Pod) -> Result<Vec<Flip>> {
    let to = SocketAddr::new(server.ip(), PORT);
    let (stream, time) = (changes.stream, Duration::from_secs(changes.args.seconds));
    let mut flips: Vec<Flip> = Vec::new();
    client.run(|| {
        changes.go_on(time, |elapsed| {
            if elapsed.as_secs() / FLIP_EVERY > flips.len() as u64 {
                let (role, verdict) =
                    if flips.len().is_multiple_of(2) { ("none", "allowed") } else { ("server", "denied") };
                stream.modified(&lab_pod(server, role));
                flips.push(Flip { at: SystemTime::now().duration_since(UNIX_EPOCH)?, verdict });
            }
            TcpStream::connect(to).map(drop).context("connecting to the server")
        })
    })??;
    Ok(flips)
}

/// From each change to the first connection that was judged by it, in milliseconds.
///
/// # Errors
/// No connection was, before the next change.
fn delays(lines: &str, flips: &[Flip]) -> Result<Vec<f64>> {
    let flows: Vec<(Duration, String)> = lines.lines().filter_map(judged).collect();
    let delay = |(number, flip): (usize, &Flip)| {
        let until = flips.get(number + 1).map_or(Duration::MAX, |next| next.at);
        let judged =
            flows.iter().filter(|(at, verdict)| (flip.at..until).contains(at) && verdict == flip.verdict);
        let first = judged.map(|(at, _)| *at).min();
        let first = first.with_context(|| {
            format!(
                "change {number} of {}: no connection is {} before the next one",
                flips.len(),
                flip.verdict
            )
        })?;
        Ok((first - flip.at).as_secs_f64() * 1e3)
    };
    flips.iter().enumerate().map(delay).collect()
}

/// When a flow's connection began, since 1970, and its verdict.
fn judged(line: &str) -> Option<(Duration, String)> {
    let flow: Value = serde_json::from_str(line).ok()?;
    let time: jiff::Timestamp = flow["time"].as_str()?.parse().ok()?;
    let at = Duration::try_from(time.as_duration()).ok()?;
    Some((at, flow["expected"]["verdict"].as_str()?.to_owned()))
}
