//! The agent as a DaemonSet.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use xtask::node::Image;

use crate::cluster::Cluster;

const MANIFEST: &str = include_str!("daemon.yaml");

/// Where the agent serves, in the node's network namespace.
const METRICS: &str = "http://127.0.0.1:9965/metrics";

/// The agent on a node.
pub(crate) struct Daemon<'a> {
    cluster: &'a Cluster,
}

impl<'a> Daemon<'a> {
    /// Installs the agent, and waits until it is Ready.
    pub(crate) fn install(cluster: &'a Cluster) -> Self {
        let folder = TempDir::new().unwrap();
        let archive = folder.path().join("agent.tar");
        image(&archive);
        cluster.node.import(&archive).unwrap();
        cluster.node.apply(MANIFEST).unwrap();
        let daemon = Self { cluster };
        daemon.wait_until_rolled_out();
        daemon
    }

    fn wait_until_rolled_out(&self) {
        let status =
            ["rollout", "status", "--namespace", "netpol", "daemonset/netpol-agent", "--timeout=180s"];
        self.cluster.node.kubectl(&status).unwrap();
    }

    /// Replaces the agent by a new one, and waits until that is Ready.
    pub(crate) fn update(&self) {
        let node = &self.cluster.node;
        node.kubectl(&["rollout", "restart", "--namespace", "netpol", "daemonset/netpol-agent"]).unwrap();
        self.wait_until_rolled_out();
    }

    pub(crate) fn uninstall(self) {
        self.cluster.node.kubectl(&["delete", "namespace", "netpol", "--timeout=180s"]).unwrap();
    }

    /// The sum over all series of a metric whose labels have this text among them.
    pub(crate) fn metric(&self, name: &str, labels: &str) -> f64 {
        let answer = self.cluster.node.exec("curl", &["--silent", METRICS], "").unwrap_or_default();
        let series = answer.lines().filter_map(|line| {
            let (key, value) = line.rsplit_once(' ')?;
            let rest = key.strip_prefix(name)?;
            ((rest.is_empty() || rest.starts_with('{')) && rest.contains(labels)).then_some(value)
        });
        series.filter_map(|value| value.parse::<f64>().ok()).sum()
    }

    /// What it has printed, of this type: `flow` or `finding`.
    pub(crate) fn lines(&self, kind: &str) -> Vec<Value> {
        let args = ["logs", "--namespace", "netpol", "daemonset/netpol-agent", "--tail=-1"];
        let log = self.cluster.node.kubectl(&args).unwrap();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["type"] == kind).collect()
    }

    /// The capabilities that its process can ever have, as a bit set.
    pub(crate) fn capabilities(&self) -> u64 {
        let script = "cat /proc/$(pidof netpol-agent)/status";
        let status = self.cluster.node.exec("sh", &["-c", script], "").unwrap();
        let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap();
        u64::from_str_radix(bounding.trim(), 16).unwrap()
    }
}

/// The agent with the libraries that it needs.
fn image(to: &Path) {
    let agent = PathBuf::from(env!("CARGO_BIN_EXE_netpol-agent"));
    let listed = std::process::Command::new("ldd").arg(&agent).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let libraries = listed.split_whitespace().filter(|word| word.starts_with('/'));
    let mut image = Image::new("netpol.test/agent:1", &[]).program("netpol-agent", &agent).unwrap();
    for library in libraries {
        image = image.program(&library[1..], Path::new(library)).unwrap();
    }
    image.write(to).unwrap();
}
