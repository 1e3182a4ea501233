//! A real Prometheus scrapes the agent, reads what the metrics mean, and raises the alerts.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::{Child, Stdio},
};

use netpol_testkit::{
    agent::{Agent, Printing},
    netns::{Attempt, Lab, PodSpec, Probe, Server},
};
use serde_json::Value;
use tempfile::TempDir;

use crate::agent::{METRICS, Watch, binary, eventually};

const PROMETHEUS: &str = "127.0.0.1:9090";

const RULES: &str = include_str!("../../../deploy/chart/alerts/netpol.yaml");

/// It ends with the test.
struct Prometheus<'a> {
    lab: &'a Lab,
    child: Child,
    _folder: TempDir,
}

impl<'a> Prometheus<'a> {
    fn start(lab: &'a Lab, rules: &str) -> Self {
        let folder = TempDir::with_prefix("netpol-test-").unwrap();
        fs::write(folder.path().join("rules.yaml"), rules).unwrap();
        let config = folder.path().join("prometheus.yml");
        fs::write(
            &config,
            "global: {evaluation_interval: 200ms, scrape_interval: 200ms, scrape_timeout: 200ms}\n\
             rule_files: [rules.yaml]\n\
             scrape_configs:\n- job_name: netpol-agent\n  static_configs:\n  - targets: ['127.0.0.1:9965']\n",
        )
        .unwrap();
        let child = lab
            .command("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={PROMETHEUS}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { lab, child, _folder: folder }
    }

    /// The value of a query that has one, once Prometheus answers.
    fn query(&self, query: &str) -> Option<f64> {
        let text: std::io::Result<String> = self
            .lab
            .run(|| {
                let mut stream = TcpStream::connect(PROMETHEUS)?;
                write!(stream, "GET /api/v1/query?query={query} HTTP/1.0\r\n\r\n")?;
                let mut answer = String::new();
                stream.read_to_string(&mut answer)?;
                Ok(answer)
            })
            .unwrap();
        let text = text.ok()?;
        let answer: Value = serde_json::from_str(text.split("\r\n\r\n").nth(1)?).ok()?;
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }
}

impl Drop for Prometheus<'_> {
    fn drop(&mut self) {
        // Both fail where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn scraped() {
    let lab = Lab::new().unwrap();
    let client = lab.add_pod(PodSpec::new("shop", "client")).unwrap();
    let server = lab.add_pod(PodSpec::new("shop", "server")).unwrap();
    let _server = Server::tcp(&server, 80).unwrap();
    let deny = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny, namespace: shop}, \
                spec: {podSelector: {}}}";
    let _watch = Watch::with(&lab, &[deny], &["--node", Lab::NODE]);
    let prometheus = Prometheus::start(&lab, RULES);
    assert_eq!(Probe::tcp(server.ip(), 80).run(&client).unwrap(), Attempt::Answered);
    for (query, value) in [
        ("up", 1.0),
        ("netpol_findings_open%7Bkind=%22not_enforced%22%7D", 1.0),
        ("netpol_connections_total%7Boutcome=%22not_enforced%22,observed=%22established%22%7D", 1.0),
        ("netpol_flows_total%7Bverdict=%22denied%22%7D", 1.0),
        ("sum(netpol_records_lost_total)", 0.0),
        ("netpol_veths_attached", 2.0),
        ("count(ALERTS)", 1.0),
        ("ALERTS%7Balertname=%22PolicyNotEnforced%22,alertstate=%22firing%22%7D", 1.0),
        // What the other alerts look at.
        ("sum(netpol_resource_unknown)", 0.0),
        ("netpol_pods_unseen", 0.0),
        ("count(netpol_findings_open)", 2.0),
    ] {
        eventually(&format!("{query} is {value}"), || prometheus.query(query) == Some(value));
    }
}

/// An agent that can judge nothing finds nothing, and is not silent about it.
#[test]
fn blind() {
    let lab = Lab::new().unwrap();
    lab.add_pod(PodSpec::new("shop", "server")).unwrap();
    let folder = TempDir::with_prefix("netpol-test-").unwrap();
    lab.write_manifests(folder.path()).unwrap();
    fs::write(folder.path().join("policy.yaml"), "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy}")
        .unwrap();
    let manifests = folder.path().display().to_string();
    let arguments = ["run", "--manifests", &manifests, "--metrics-addr", METRICS];
    let _agent = Agent::spawn(&lab, &binary(), arguments, Printing::Kept).unwrap();
    // Nobody waits for ten minutes here.
    let prometheus = Prometheus::start(&lab, &RULES.replace("for: 10m", "for: 0s"));
    let firing = "ALERTS%7Balertname=%22AgentBlind%22,blind=%22cluster_unknown%22,alertstate=%22firing%22%7D";
    eventually("the alert fires", || prometheus.query(firing) == Some(1.0));
}
