//! A lab with an agent in it, and what the agent tells.

use std::{
    fs,
    path::{Path, PathBuf},
};

pub(crate) use netpol_testkit::wait::eventually;
use netpol_testkit::{
    agent::{Agent, Printing},
    http,
    metrics::Samples,
    netns::Lab,
    skip::is_older_kernel,
};
use serde_json::Value;
use tempfile::TempDir;

/// The program under test.
pub(crate) fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_netpol-agent"))
}

/// Where the agent serves, inside its node's namespace.
pub(crate) const METRICS: &str = "127.0.0.1:9965";

/// An agent that watches a lab.
pub(crate) struct Watch<'a> {
    lab: &'a Lab,
    manifests: TempDir,
    agent: Agent,
}

impl<'a> Watch<'a> {
    pub(crate) fn start(lab: &'a Lab) -> Self {
        Self::with(lab, &[], &[])
    }

    /// With policies, each a YAML text, and more arguments.
    pub(crate) fn with(lab: &'a Lab, policies: &[&str], arguments: &[&str]) -> Self {
        Self::launched(lab, &[binary().display().to_string()], policies, arguments)
    }

    /// Like that, started by another program.
    pub(crate) fn launched(lab: &'a Lab, launcher: &[String], policies: &[&str], arguments: &[&str]) -> Self {
        let manifests = TempDir::with_prefix("netpol-test-").unwrap();
        lab.write_manifests(manifests.path()).unwrap();
        for (number, policy) in policies.iter().enumerate() {
            fs::write(manifests.path().join(format!("policy-{number}.yaml")), policy).unwrap();
        }
        let agent = start(lab, launcher, manifests.path(), arguments);
        Self { lab, manifests, agent }
    }

    pub(crate) fn id(&self) -> u32 {
        self.agent.id()
    }

    pub(crate) fn manifests(&self) -> &Path {
        self.manifests.path()
    }

    /// The value of a metric, labels included in the name as the agent writes them; 0 where there is none.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        self.samples().value(name).unwrap_or_default()
    }

    /// The sum of a metric over all its labels.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.samples().sum(name, "")
    }

    fn samples(&self) -> Samples {
        Samples::parse(&self.get("/metrics"))
    }

    pub(crate) fn get(&self, path: &str) -> String {
        get(self.lab, path).unwrap()
    }

    /// Waits until the agent has decided so many connections; stops it, and returns what it printed.
    pub(crate) fn until(self, connections: usize) -> Told {
        self.wait_for("netpol_connections_total", connections as f64);
        self.stop()
    }

    /// Waits until a metric, summed over its labels, has at least this value.
    pub(crate) fn wait_for(&self, name: &str, value: f64) {
        eventually(&format!("{name} reaches {value}"), || self.sum(name) >= value);
    }

    pub(crate) fn stop(self) -> Told {
        Told::parse(&self.agent.stop().unwrap())
    }

    pub(crate) fn kill(self) {
        self.agent.kill().unwrap();
    }
}

fn start(lab: &Lab, launcher: &[String], manifests: &Path, arguments: &[&str]) -> Agent {
    let (program, launcher) = launcher.split_first().unwrap();
    let manifests = manifests.display().to_string();
    let fixed =
        ["run", "--manifests", &manifests, "--output", "json", "--summary", "--metrics-addr", METRICS];
    let arguments = launcher.iter().map(String::as_str).chain(fixed).chain(arguments.iter().copied());
    Agent::start(lab, Path::new(program), arguments, Printing::Kept).unwrap()
}

/// What a test may need of the kernel beyond what the agent needs, with the version it came in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Feature {
    /// Reasons in `kfree_skb` that tell an enforcer's drops.
    DropReasons,
    /// TCX links.
    Tcx,
}

/// Whether the kernel lacks the feature; says so, for the test is passed over.
pub(crate) fn lacks(feature: Feature) -> bool {
    let since = match feature {
        Feature::DropReasons => (5, 18),
        Feature::Tcx => (6, 6),
    };
    is_older_kernel(&format!("{feature:?}"), since)
}

pub(crate) fn get(lab: &Lab, path: &str) -> std::io::Result<String> {
    lab.run(|| http::get(METRICS, path)).unwrap()
}

/// The value of a metric, once the agent serves it.
pub(crate) fn try_metric(lab: &Lab, name: &str) -> Option<f64> {
    Samples::parse(&get(lab, "/metrics").ok()?).value(name)
}

/// What the agent printed.
pub(crate) struct Told {
    pub(crate) flows: Vec<Value>,
    pub(crate) findings: Vec<Value>,
    pub(crate) summary: Value,
}

impl Told {
    fn parse(text: &str) -> Self {
        let mut told = Self { flows: Vec::new(), findings: Vec::new(), summary: Value::Null };
        for line in text.lines() {
            let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            match value["type"].as_str() {
                Some("flow") => told.flows.push(value),
                Some("finding") => told.findings.push(value),
                Some("summary") => told.summary = value,
                _ => panic!("{line}: of no known type"),
            }
        }
        told
    }

    /// Each connection in short: `client > server:80 TCP established conforming`, sorted; `world` for what is no pod.
    pub(crate) fn connections(&self) -> Vec<String> {
        let name = |end: &Value| end["name"].as_str().unwrap_or("world").to_owned();
        let mut all: Vec<String> = self
            .flows
            .iter()
            .map(|flow| {
                let family =
                    if flow["destination"]["ip"].as_str().unwrap().contains(':') { "6" } else { "4" };
                let port =
                    flow["destination"]["port"].as_u64().map_or_else(String::new, |port| format!(":{port}"));
                format!(
                    "{} > {}{port} {}{family} {} {}",
                    name(&flow["source"]),
                    name(&flow["destination"]),
                    flow["protocol"].as_str().unwrap(),
                    flow["observed"]["kind"].as_str().unwrap(),
                    flow["outcome"].as_str().unwrap(),
                )
            })
            .collect();
        all.sort();
        all
    }

    /// Compares the connections with these, in any order.
    pub(crate) fn check(&self, expected: &[&str]) {
        let mut expected: Vec<String> = expected.iter().map(|&line| line.to_owned()).collect();
        expected.sort();
        assert_eq!(self.connections(), expected);
    }
}
