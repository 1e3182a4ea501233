//! The agents of a cluster, installed as a user does it.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::contact::Protocol;
use crate::{
    cluster::Cluster,
    helm::{CHART, Helm},
};

/// Each connection is told, as JSON.
const VALUES: [&str; 4] = ["--set", "agent.prints=connections", "--set", "agent.format=json"];

/// A DaemonSet of agents.
pub(super) struct Agents<'a> {
    cluster: &'a Cluster,
}

/// What an agent says about a connection.
#[derive(Clone, Debug)]
pub(super) struct FlowLine {
    /// The node of the agent.
    pub(super) node: usize,
    pub(super) protocol: Protocol,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) outcome: String,
    /// The reason why it is `undecidable`.
    pub(super) reason: String,
    /// The line itself.
    pub(super) text: String,
}

impl<'a> Agents<'a> {
    /// Installs the chart, and waits until the agents are Ready on all nodes.
    pub(super) fn install(cluster: &'a Cluster) -> Result<Self> {
        let helm = Helm::find_or_fetch()?;
        let helm = helm.path().to_str().context("the path of Helm is no text")?;
        let install = ["install", "netpol", CHART, "--namespace", "netpol", "--create-namespace"];
        cluster.exec(helm, &[&install, &VALUES[..]].concat(), "")?;
        let rollout = ["rollout", "status", "--namespace", "netpol", "daemonset/netpol-agent"];
        cluster.kubectl(&[&rollout[..], &["--timeout=180s"]].concat())?;
        Ok(Self { cluster })
    }

    /// What all agents have printed about connections.
    pub(super) fn lines(&self) -> Result<Vec<FlowLine>> {
        let path = "jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName}{\"\\n\"}{end}";
        let pods = self.cluster.kubectl(&["get", "pods", "--namespace", "netpol", "--output", path])?;
        let mut lines = Vec::new();
        for (pod, node) in pods.lines().filter_map(|line| line.split_once(' ')) {
            let number = node.trim_start_matches("node").parse();
            let number = number.with_context(|| format!("pod {pod} is on {node}"))?;
            let log = self.cluster.kubectl(&["logs", "--namespace", "netpol", pod, "--tail=-1"])?;
            lines.extend(log.lines().filter_map(|line| FlowLine::parse(number, line)));
        }
        Ok(lines)
    }
}

impl FlowLine {
    /// Reads a line about a connection. Others are `None`.
    fn parse(node: usize, text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok().filter(|value: &Value| value["type"] == "flow")?;
        let end = |name: &str| {
            let ip: IpAddr = value[name]["ip"].as_str()?.parse().ok()?;
            Some(SocketAddr::new(ip, value[name]["port"].as_u64()?.try_into().ok()?))
        };
        let protocol = match value["protocol"].as_str()?.to_ascii_uppercase().as_str() {
            "TCP" => Protocol::Tcp,
            "UDP" => Protocol::Udp,
            _ => return None,
        };
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Some(Self {
            node,
            protocol,
            source: end("source")?,
            destination: end("destination")?,
            outcome: word(&value["outcome"]),
            reason: word(&value["expected"]["reason"]),
            text: text.to_owned(),
        })
    }
}
