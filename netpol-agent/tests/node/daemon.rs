//! The agent as a DaemonSet, installed as a user does it.

use caps::Capability;
use netpol_testkit::{
    helm::{CHART, Helm},
    image,
    metrics::Samples,
};
use serde_json::Value;

use crate::cluster::{Cluster, eventually};

/// The chart's own values say nothing of connections: for a test, each of them is told.
const VALUES: [&str; 4] = ["--set", "agent.prints=connections", "--set", "agent.format=json"];

/// The agents of a cluster.
pub(crate) struct Daemon<'a> {
    cluster: &'a Cluster,
    helm: Helm,
}

impl<'a> Daemon<'a> {
    /// Installs the chart with the image, and waits until the agents are Ready.
    pub(crate) fn install(cluster: &'a Cluster) -> Self {
        cluster.real.import(&image::of_tests()).unwrap();
        let daemon = Self { cluster, helm: Helm::find_or_fetch().unwrap() };
        daemon.helm("install", &[&[CHART, "--create-namespace"], &VALUES[..]].concat());
        daemon.wait_until_rolled_out();
        daemon
    }

    fn helm(&self, verb: &str, arguments: &[&str]) {
        let helm = self.helm.path().to_str().unwrap();
        let fixed = [verb, "netpol", "--namespace", "netpol"];
        self.cluster.real.exec(helm, &[&fixed, arguments].concat(), "").unwrap();
    }

    fn wait_until_rolled_out(&self) {
        let status =
            ["rollout", "status", "--namespace", "netpol", "daemonset/netpol-agent", "--timeout=180s"];
        self.cluster.real.kubectl(&status).unwrap();
    }

    /// Rolls out a change, and waits until the new agent is Ready.
    pub(crate) fn update(&self) {
        self.helm("upgrade", &[&[CHART, "--set", "podAnnotations.updated=once"], &VALUES[..]].concat());
        self.wait_until_rolled_out();
    }

    /// Removes the chart, and waits until the agent is gone.
    pub(crate) fn uninstall(self) {
        self.helm("uninstall", &[]);
        eventually("the agent's pod is gone", || self.cluster.field("netpol", "pods", "{.items}") == "[]");
    }

    /// The sum over all series of a metric of the first node's agent whose labels have this text among them.
    pub(crate) fn metric(&self, name: &str, labels: &str) -> f64 {
        let [address, _] = self.cluster.node().addresses();
        let url = format!("http://{address}:9965/metrics");
        let answer = self.cluster.node().exec("curl", &["--silent", &url], "").unwrap_or_default();
        Samples::parse(&answer).sum(name, labels)
    }

    /// What the agents have printed, of this type: `flow` or `finding`.
    pub(crate) fn lines(&self, kind: &str) -> Vec<Value> {
        ["node1", "node2"].iter().flat_map(|node| self.lines_of(node, kind)).collect()
    }

    /// The same of the agent on this node.
    pub(crate) fn lines_of(&self, node: &str, kind: &str) -> Vec<Value> {
        let what = format!("pods --field-selector spec.nodeName={node}");
        let pod = self.cluster.field("netpol", &what, "{.items[0].metadata.name}");
        let log = self.cluster.real.kubectl(&["logs", "--namespace", "netpol", &pod, "--tail=-1"]).unwrap();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["type"] == kind).collect()
    }

    /// The capabilities that the chart asks for, and those that the agent's process can ever have.
    pub(crate) fn capabilities(&self) -> [u64; 2] {
        let path = "{.spec.template.spec.containers[0].securityContext.capabilities.add[*]}";
        let declared = self.cluster.field("netpol", "daemonset netpol-agent", path);
        let declared = declared.split(' ').map(|name| format!("CAP_{name}").parse::<Capability>().unwrap());
        let status =
            self.cluster.node().exec("sh", &["-c", "cat /proc/$(pidof netpol-agent)/status"], "").unwrap();
        let held = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap();
        let held = u64::from_str_radix(held.trim(), 16).unwrap();
        [declared.map(|capability| capability.bitmask()).sum(), held]
    }
}
