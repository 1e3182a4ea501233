//! The agent in a lab, watching an API server.

use std::path::PathBuf;

pub(crate) use netpol_testkit::wait::eventually;
use netpol_testkit::{
    agent::{Agent, Printing},
    apiserver::{ApiServer, User},
    http,
    metrics::Samples,
    netns::Lab,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

/// Where the agent serves, inside its node's namespace.
const METRICS: &str = "127.0.0.1:9965";

/// The program under test.
pub(crate) fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_netpol-agent"))
}

/// An agent that watches a lab through the API.
pub(crate) struct Watch<'a> {
    lab: &'a Lab,
    agent: Agent,
}

/// What the agent printed.
pub(crate) struct Told {
    pub(crate) flows: Vec<Value>,
    pub(crate) findings: Vec<Value>,
    pub(crate) log: String,
}

impl<'a> Watch<'a> {
    /// Starts one, and waits until it is ready.
    pub(crate) fn start(lab: &'a Lab, server: &ApiServer<'_>, user: User, arguments: &[&str]) -> Self {
        let mut watch = Self::spawn(lab, server, user, arguments);
        watch.agent.wait_until_ready().unwrap();
        watch
    }

    pub(crate) fn spawn(lab: &'a Lab, server: &ApiServer<'_>, user: User, arguments: &[&str]) -> Self {
        let kubeconfig = server.kubeconfig(user).unwrap().display().to_string();
        let fixed = ["run", "--kubeconfig", &kubeconfig, "--output", "json", "--metrics-addr", METRICS];
        let fixed = fixed.iter().chain(&["--grace", "0", "--look-again", "1"]);
        let agent = Agent::spawn(lab, &binary(), fixed.chain(arguments), Printing::Kept).unwrap();
        Self { lab, agent }
    }

    /// One that runs already, and serves where all do.
    pub(crate) fn of(lab: &'a Lab, agent: Agent) -> Self {
        Self { lab, agent }
    }

    pub(crate) fn has_metric(&self, name: &str) -> bool {
        self.get("/metrics").is_some_and(|answer| answer.contains(&format!("\n{name}")))
    }

    /// The sum over all series of a metric whose labels have this text among them.
    pub(crate) fn metric(&self, name: &str, labels: &str) -> f64 {
        self.get("/metrics").map_or(0.0, |answer| Samples::parse(&answer).sum(name, labels))
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.get("/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    fn get(&self, path: &str) -> Option<String> {
        self.lab.run(|| http::get(METRICS, path)).unwrap().ok()
    }

    /// Waits until so many connections are decided.
    pub(crate) fn wait_for_flows(&self, count: f64) {
        eventually(&format!("{count} connections"), || self.metric("netpol_connections_total", "") >= count);
    }

    /// Waits until the state that is in force is a newer one than this generation.
    pub(crate) fn wait_for_state_after(&self, generation: f64) {
        eventually("a newer state", || self.generation() > generation);
    }

    pub(crate) fn generation(&self) -> f64 {
        self.metric("netpol_snapshot_generation", "")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.agent.id().cast_signed()), signal).unwrap();
    }

    pub(crate) fn stop(self) -> Told {
        let (stdout, log) = self.agent.end().unwrap();
        let lines = stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let (flows, others): (Vec<_>, Vec<_>) = lines.partition(|line| line["type"] == "flow");
        Told { flows, findings: others.into_iter().filter(|line| line["type"] == "finding").collect(), log }
    }
}

impl Told {
    /// Each connection in short, in the order in which they began: `client > server:80 conforming`, with the reason
    /// where it is undecidable.
    pub(crate) fn connections(&self) -> Vec<String> {
        let mut flows: Vec<&Value> = self.flows.iter().collect();
        flows.sort_by_key(|flow| flow["time"].as_str().unwrap().to_owned());
        flows.into_iter().map(short).collect()
    }
}

fn short(flow: &Value) -> String {
    let name = |end: &str| flow[end]["name"].as_str().unwrap_or("world").to_owned();
    let reason = flow["expected"]["reason"].as_str().map_or_else(String::new, |reason| format!(" {reason}"));
    let family = if flow["destination"]["ip"].as_str().unwrap().contains(':') { " v6" } else { "" };
    format!(
        "{} > {}:{}{family} {}{reason}",
        name("source"),
        name("destination"),
        flow["destination"]["port"],
        flow["outcome"].as_str().unwrap()
    )
}
