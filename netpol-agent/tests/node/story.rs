//! What a user goes through, from the installation to the removal.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
};

use netpol_testkit::{
    cluster::Plugin,
    go,
    netns::{Attempt, Namespace, Probe},
};
use serde_json::Value;

use crate::{
    cluster::{Cluster, PATIENCE, eventually},
    daemon::Daemon,
    hubble,
};

/// The Service that workloads.yaml puts before `web`.
const SERVICE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 96, 0, 80)), 80);

const DENY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: default-deny, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
";

#[test]
fn on_ptp() {
    tell(Plugin::Ptp);
}

#[test]
fn on_a_bridge() {
    tell(Plugin::Bridge);
}

fn tell(plugin: Plugin) {
    if go::is_missing() {
        return;
    }
    let cluster = Cluster::up(plugin);
    let daemon = Daemon::install(&cluster);
    let [declared, held] = daemon.capabilities();
    assert_eq!(held, declared);
    let mut held = Held::open(&cluster);
    let client = cluster.pod("shop", "client");

    allowed(&daemon, &client);
    not_enforced(&cluster, &daemon, &client);
    hubble::audited(&cluster);
    enforced(&cluster, &daemon, &client);
    no_finding_about_the_node(&daemon);
    not_enforced_on_the_other_node(&cluster, &daemon);

    held.exchange();
    let before = cluster.attached();
    assert!(before > 0);
    daemon.update();
    // None are missing, and the old agent's are gone.
    assert_eq!(cluster.attached(), before);
    held.exchange();
    daemon.uninstall();
    assert_eq!(cluster.attached(), 0);
    held.exchange();
    assert_eq!(cluster.real.failures().unwrap(), [""; 0]);
}

/// A connection through the Service: the backend that kube-proxy's rules chose is named.
fn allowed(daemon: &Daemon<'_>, client: &Namespace) {
    connect(client, SERVICE, Attempt::Answered);
    let is_the_connection = |flow: &Value| {
        is_between(flow, "client", "web")
            && flow["service"]["name"] == "web"
            && flow["observed"]["kind"] == "established"
            && flow["outcome"] == "conforming"
    };
    eventually("the backend is named", || daemon.lines("flow").iter().any(is_the_connection));
}

/// A default deny, and nobody who enforces it.
fn not_enforced(cluster: &Cluster, daemon: &Daemon<'_>, client: &Namespace) {
    cluster.real.apply(DENY).unwrap();
    let backend = backend(cluster);
    eventually("the denied connection is a finding", || {
        connect(client, backend, Attempt::Answered);
        connect(client, SERVICE, Attempt::Answered);
        daemon.metric("netpol_findings_open", "not_enforced") >= 1.0
    });
    let findings = daemon.lines("finding");
    let finding = findings.iter().find(|finding| is_between(finding, "client", "web")).unwrap();
    assert_eq!(finding["kind"], "not_enforced", "{finding}");
    assert_eq!(finding["status"], "open", "{finding}");
    assert_eq!(finding["policies"][0]["name"], "default-deny", "{finding}");
    eventually("kubectl shows it", || {
        let described = cluster.real.kubectl(&["describe", "pod", "--namespace", "shop", "client"]).unwrap();
        described.lines().any(|line| line.contains("Warning") && line.contains("PolicyNotEnforced"))
    });
}

/// A denied connection from another node: the agent at its end tells.
fn not_enforced_on_the_other_node(cluster: &Cluster, daemon: &Daemon<'_>) {
    let server = SocketAddr::new(cluster.addresses("far", "server")[0], 7);
    connect(&cluster.pod("steady", "client"), server, Attempt::Answered);
    let tells = |flow: &Value| {
        is_between(flow, "client", "server")
            && flow["destination"]["namespace"] == "far"
            && flow["outcome"] == "not_enforced"
    };
    eventually("the other node's agent tells", || daemon.lines_of("node2", "flow").iter().any(tells));
}

/// An enforcer comes: the same connections are stopped, and there is no finding any more.
fn enforced(cluster: &Cluster, daemon: &Daemon<'_>, client: &Namespace) {
    let backend = backend(cluster);
    let from = cluster.addresses("shop", "client")[0];
    let rules = format!(
        "table inet enforcer {{
            chain forward {{
                type filter hook forward priority 0;
                ip saddr {from} drop
            }}
        }}"
    );
    cluster.node().network().unwrap().nft(&rules).unwrap();
    eventually("the finding is resolved", || {
        connect(client, backend, Attempt::TimedOut);
        connect(client, SERVICE, Attempt::TimedOut);
        daemon.metric("netpol_findings_open", "not_enforced") == 0.0
    });
    let says = |kind: &str, field: &str, value: &str| {
        daemon.lines(kind).iter().any(|line| is_between(line, "client", "web") && line[field] == value)
    };
    assert!(says("flow", "outcome", "enforced"));
    assert!(says("finding", "status", "resolved"));
    let resolved =
        ["get", "events", "--namespace", "shop", "--field-selector", "reason=PolicyNotEnforcedResolved"];
    eventually("kubectl shows it", || cluster.real.kubectl(&resolved).unwrap().contains("pod/client"));
}

/// kubelet's probes have been seen, and no finding is about them.
fn no_finding_about_the_node(daemon: &Daemon<'_>) {
    let from_node = |line: &&Value| line["source"]["kind"] == "node";
    assert_ne!(daemon.lines("flow").iter().filter(from_node).count(), 0);
    assert_eq!(daemon.lines("finding").iter().filter(from_node).count(), 0);
    assert_eq!(daemon.metric("netpol_findings_open", ""), 0.0);
}

fn backend(cluster: &Cluster) -> SocketAddr {
    SocketAddr::new(cluster.addresses("shop", "web")[0], 8080)
}

fn connect(from: &Namespace, to: SocketAddr, expected: Attempt) {
    assert_eq!(Probe::tcp(to.ip(), to.port()).run(from).unwrap(), expected, "{to}");
}

/// Whether a line is about these two, by the beginnings of their names.
fn is_between(line: &Value, source: &str, destination: &str) -> bool {
    let named = |end: &str, name: &str| {
        line[end]["kind"] == "pod" && line[end]["name"].as_str().is_some_and(|full| full.starts_with(name))
    };
    named("source", source) && named("destination", destination)
}

/// A connection between two pods that is held for long.
struct Held {
    stream: TcpStream,
}

impl Held {
    fn open(cluster: &Cluster) -> Self {
        let server = SocketAddr::new(cluster.addresses("steady", "server")[0], 7);
        let client = cluster.pod("steady", "client");
        let stream = client.run(|| TcpStream::connect(server)).unwrap().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut held = Self { stream };
        held.exchange();
        held
    }

    /// Something goes there and comes back.
    fn exchange(&mut self) {
        self.stream.write_all(b"ping").unwrap();
        let mut answer = [0; 4];
        self.stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"ping");
    }
}
