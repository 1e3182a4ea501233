//! Pods that come and go, and more than the agent can take in.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use netpol_testkit::netns::{Attempt, Lab, PodSpec, Probe, Server, packet};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::agent::{Watch, eventually};

fn signal(watch: &Watch<'_>, signal: Signal) {
    kill(Pid::from_raw(watch.id().cast_signed()), signal).unwrap();
}

fn open_files(watch: &Watch<'_>) -> usize {
    fs::read_dir(Path::new("/proc").join(watch.id().to_string()).join("fd")).unwrap().count()
}

/// 200 pods, each of which sends one datagram as soon as it is there: none is missed, and none leaves anything.
#[test]
fn two_hundred_pods() {
    let lab = Lab::new().unwrap();
    let server = lab.add_pod(PodSpec::new("shop", "server")).unwrap();
    let _server = Server::udp_sink(&server, 514).unwrap();
    let watch = Watch::start(&lab);
    let before = open_files(&watch);
    let mut sources = Vec::new();
    for round in 0..4 {
        let pods: Vec<_> = (0..50)
            .map(|number| {
                let pod = lab.add_pod(PodSpec::new("shop", &format!("pod-{round}-{number}"))).unwrap();
                assert_eq!(Probe::one_way(server.ip(), 514).run(&pod).unwrap(), Attempt::Sent);
                pod
            })
            .collect();
        eventually("all pods are attached", || watch.metric("netpol_veths_attached") == 51.0);
        for pod in pods {
            sources.push(pod.ip().to_string());
            lab.delete_pod(&pod).unwrap();
        }
        eventually("all pods are forgotten", || watch.metric("netpol_veths_attached") == 1.0);
    }
    assert_eq!(watch.metric("netpol_veth_attach_errors_total"), 0.0);
    eventually("no file is left open", || open_files(&watch) <= before);
    let told = watch.until(200);
    let mut seen: Vec<String> =
        told.flows.iter().map(|flow| flow["source"]["ip"].as_str().unwrap().to_owned()).collect();
    seen.sort();
    sources.sort();
    assert_eq!(seen, sources);
}

/// The ring is full: the loss is counted, and the agent goes on.
#[test]
fn ring_overflow() {
    let lab = Lab::new().unwrap();
    let client = lab.add_pod(PodSpec::new("shop", "client")).unwrap();
    let server = lab.add_pod(PodSpec::new("shop", "server")).unwrap();
    let _server = Server::tcp(&server, 80).unwrap();
    let watch = Watch::with(&lab, &[], &["--ring-kib", "4"]);
    signal(&watch, Signal::SIGSTOP);
    for port in 1..=500 {
        let from = SocketAddr::new(client.ip(), 40_000);
        client.send(&packet::udp(from, SocketAddr::new(server.ip(), port), b"")).unwrap();
    }
    signal(&watch, Signal::SIGCONT);
    watch.wait_for("netpol_records_lost_total{cause=\"packet_ring_full\"}", 1.0);
    let lost = watch.metric("netpol_records_lost_total{cause=\"packet_ring_full\"}");
    assert!(lost > 500.0, "{lost} of about 1000 records lost: most of them do not fit");
    assert!(watch.get("/healthz").ends_with("ok\n"));
    let established =
        "netpol_connections_total{expected=\"allowed\",observed=\"established\",outcome=\"conforming\"}";
    // The ring may still be full when the losses are counted.
    eventually("a new connection is seen", || {
        assert_eq!(Probe::tcp(server.ip(), 80).run(&client).unwrap(), Attempt::Answered);
        watch.metric(established) >= 1.0
    });
    // Whatever rests on records that were not seen is not judged.
    let told = watch.stop();
    for flow in told.flows.iter().filter(|flow| flow["protocol"] == "UDP") {
        assert_ne!(flow["outcome"], "over_blocked", "{flow}");
    }
}

/// The agent had no time for a while: what is in the ring by then is known before anything is decided.
#[test]
fn an_agent_that_was_held_up() {
    let lab = Lab::new().unwrap();
    let client = lab.add_pod(PodSpec::new("shop", "client")).unwrap();
    let server = lab.add_pod(PodSpec::new("shop", "server")).unwrap();
    let _sink = Server::udp_sink(&server, 50_000).unwrap();
    let [from, to] =
        [(&client, 40_000), (&server, 50_000)].map(|(pod, port)| SocketAddr::new(pod.ip(), port));
    let watch = Watch::start(&lab);
    client.send(&packet::udp(from, to, b"?")).unwrap();
    watch.wait_for("netpol_records_total", 2.0);
    signal(&watch, Signal::SIGSTOP);
    server.send(&packet::udp(to, from, b"!")).unwrap();
    // Longer than the agent waits for an answer.
    std::thread::sleep(Duration::from_millis(2_500));
    signal(&watch, Signal::SIGCONT);
    watch.until(1).check(&["client > server:50000 UDP4 established conforming"]);
}

/// Link messages were lost: the list is read anew.
#[test]
fn netlink_overrun() {
    let lab = Lab::new().unwrap();
    let gone = lab.add_pod(PodSpec::new("shop", "gone")).unwrap();
    let server = lab.add_pod(PodSpec::new("shop", "server")).unwrap();
    let _server = Server::tcp(&server, 80).unwrap();
    let watch = Watch::start(&lab);
    signal(&watch, Signal::SIGSTOP);
    let noise: String = (0..8_000).map(|number| format!("link set lo alias n{number}\n")).collect();
    lab.ip(&noise).unwrap();
    lab.delete_pod(&gone).unwrap();
    let client = lab.add_pod(PodSpec::new("shop", "client")).unwrap();
    signal(&watch, Signal::SIGCONT);
    watch.wait_for("netpol_netlink_resyncs_total", 1.0);
    eventually("the new pod is attached, the old one forgotten", || {
        watch.metric("netpol_veths_attached") == 2.0
    });
    assert_eq!(Probe::tcp(server.ip(), 80).run(&client).unwrap(), Attempt::Answered);
    let told = watch.until(1);
    assert_eq!(told.flows[0]["source"]["ip"], client.ip().to_string());
}

/// A pod's second address, given later, is its own, too.
#[test]
fn addresses_that_come_later() {
    let lab = Lab::new().unwrap();
    let client = lab.add_pod(PodSpec::new("shop", "client")).unwrap();
    let server = lab.add_pod(PodSpec::new("shop", "server")).unwrap();
    let _server = Server::udp(&server, 53).unwrap();
    let watch = Watch::start(&lab);
    let second = std::net::Ipv4Addr::new(198, 18, 77, 7);
    client.as_ref().ip(&format!("addr add {second}/32 dev eth0\n")).unwrap();
    lab.ip(&format!("route add {second}/32 dev {}\n", client.host_ifname())).unwrap();
    let ask = |port| {
        let from = SocketAddr::new(second.into(), port);
        client.send(&packet::udp(from, SocketAddr::new(server.ip(), 53), b"?")).unwrap();
    };
    // The first packet makes the agent look; from then on the address is known.
    ask(40_000);
    let mut port = 40_000;
    eventually("the address is known", || {
        port += 1;
        ask(port);
        std::thread::sleep(Duration::from_millis(200));
        watch.sum(
            "netpol_connections_total{expected=\"allowed\",observed=\"established\",outcome=\"conforming\"}",
        ) >= 1.0
    });
}

/// An enforcer may hear of a change before the agent does: what looked wrong is judged once more, by what came since.
#[test]
fn news_that_comes_late() {
    const DENY: &str = "
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny, namespace: shop}, spec: {podSelector: {}}}
";
    let lab = Lab::new().unwrap();
    let client = lab.add_pod(PodSpec::new("shop", "client")).unwrap();
    let server = lab.add_pod(PodSpec::new("shop", "server")).unwrap();
    let _server = Server::tcp(&server, 80).unwrap();
    let watch = Watch::with(&lab, &[DENY], &[]);
    assert_eq!(Probe::tcp(server.ip(), 80).run(&client).unwrap(), Attempt::Answered);
    fs::remove_file(watch.manifests().join("policy-0.yaml")).unwrap();
    let told = watch.until(1);
    told.check(&["client > server:80 TCP4 established undecidable"]);
    assert!(told.findings.is_empty(), "{:?}", told.findings);
}
