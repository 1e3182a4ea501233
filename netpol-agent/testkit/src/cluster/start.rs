//! How a cluster is started.

use std::{
    cell::Cell,
    fmt::Write as _,
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

use super::{
    Cluster, Node, Options, Plugin, addresses::Addresses, busybox, cgroups, component::last_words,
    daemons::Plan, lan::Lan, node, plugins::Site, programs::Programs, spaces::Spaces, supervisor::Supervisor,
};
use crate::netns::Block;

/// The timeout for each step of the start, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// The timeout for the creation of the nodes' namespaces.
const START: Duration = Duration::from_secs(20);

/// The most nodes that have addresses for pods.
const MOST_NODES: usize = 8;

impl Cluster {
    /// Starts a cluster, and waits until pods can run on all its nodes. They have the image
    /// [`BUSYBOX`](super::BUSYBOX).
    ///
    /// # Errors
    /// The process lacks root's capabilities, a program is missing (`cargo xtask setup`), or a part of the cluster does
    /// not start. The error has the end of its output.
    pub fn up(options: Options) -> Result<Self> {
        let folder = TempDir::with_prefix("netpol-cluster-").context("making a folder for the cluster")?;
        let cluster = Self::up_in(folder.path(), options)?;
        // The supervisor removes the folder.
        let _ = folder.keep();
        Ok(cluster)
    }

    /// Like [`Self::up`], with the cluster's state in `folder`, which is created if it does not exist.
    pub(super) fn up_in(folder: &Path, options: Options) -> Result<Self> {
        let Options { nodes: count, plugin, uplink, proxy } = options;
        ensure!((1..=MOST_NODES).contains(&count), "a cluster has 1 to {MOST_NODES} nodes, and not {count}");
        let programs = Programs::of(plugin)?;
        let block = Block::claim()?;
        let addresses = Addresses(block.index());
        let name = format!("np-{}", block.index());
        make_folders(folder, count)?;
        let supervisor = Supervisor::start(folder, &name, count, block.share()?)?;
        let plan = Plan { name, folder: folder.to_owned(), programs, addresses, proxy: plugin.proxy(proxy) };
        cgroups::make(&plan.name)?;
        let lan = await_namespaces(&folder.join("lan.log"), || Lan::of(folder))?;
        lan.make(addresses, uplink, &plan.name)?;
        let nodes = (1..=count).map(|number| plan.node(number)).collect::<Result<Vec<_>>>()?;
        for node in &nodes {
            cgroups::make(&plan.cgroup(&node.name()))?;
            lan.link(addresses, uplink, node)?;
        }
        let cluster = Self { plan, nodes, lan, supervisor: Some(supervisor) };
        cluster.start(plugin)?;
        Ok(cluster)
    }

    fn start(&self, plugin: Plugin) -> Result<()> {
        let control = self.control()?;
        self.plan.credentials().make(&self.plan.url(), self.nodes.len())?;
        for node in &self.nodes {
            self.plan.containerd(node)?.start(node)?;
        }
        for component in self.plan.control() {
            component.start(control)?;
        }
        let busybox = self.plan.folder.join("busybox.tar");
        busybox::write(&busybox)?;
        for node in &self.nodes {
            self.wait(node, "containerd", "containerd takes an image", || node.import(&busybox))?;
        }
        let ready = || self.ask(&["--raw", "/readyz"], |answer| answer == "ok").map(drop);
        self.wait(control, "kube-apiserver", "the API server is ready", ready)?;
        for component in self.plan.controllers() {
            component.start(control)?;
        }
        for node in &self.nodes {
            self.plan.kubelet(node)?.start(node)?;
        }
        self.connect(plugin)?;
        // Pods are rejected before that.
        let query = ["serviceaccount", "default", "--output=name"];
        let account = || self.ask(&query, |name| !name.is_empty()).map(drop);
        self.wait(control, "kube-controller-manager", "ServiceAccounts are made", account)
    }

    /// Starts the plugin and kube-proxy on each node, and waits until all nodes are Ready.
    fn connect(&self, plugin: Plugin) -> Result<()> {
        let pods = self.nodes.iter().map(|node| self.pods(node)).collect::<Result<Vec<_>>>()?;
        for (node, pods) in self.nodes.iter().zip(&pods) {
            self.lan.route(node, pods)?;
            if plugin.needs_routes() {
                for other in self.nodes.iter().filter(|other| other.number() != node.number()) {
                    route(other, node, pods)?;
                }
            }
            if let Some(proxy) = self.plan.kube_proxy(node) {
                proxy.start(node)?;
            }
            let site = Site { plan: &self.plan, node, pods };
            plugin.start(&site).with_context(|| format!("starting the plugin on {}", node.name()))?;
        }
        for node in &self.nodes {
            let condition = "--output=jsonpath={.status.conditions[?(@.type=='Ready')].status}";
            let name = node.name();
            let ready = || self.ask(&["node", &name, condition], |status| status == "True").map(drop);
            self.wait(node, "kubelet", &format!("{name} is Ready"), ready)?;
        }
        Ok(())
    }

    /// Waits for the CIDRs of a node's pods: as a DaemonSet, a plugin starts on a node that the cluster knows.
    fn pods(&self, node: &Node) -> Result<[String; 2]> {
        let name = node.name();
        let query = ["node", &name, "--output=jsonpath={.spec.podCIDRs[0]} {.spec.podCIDRs[1]}"];
        let are_both = |answer: &str| answer.split(' ').filter(|word| !word.is_empty()).count() == 2;
        let found = Cell::new(None);
        let ask = || {
            let answer = self.ask(&query, are_both)?;
            found.set(answer.split_once(' ').map(|(ipv4, ipv6)| [ipv4, ipv6].map(str::to_owned)));
            Ok(())
        };
        self.wait(node, "kubelet", &format!("{name} has ranges of addresses for pods"), ask)?;
        found.take().context("no ranges of addresses for pods")
    }

    /// Runs `kubectl get`. Fails unless its output is as expected.
    fn ask(&self, what: &[&str], is_expected: impl Fn(&str) -> bool) -> Result<String> {
        let answer = self.kubectl(&[&["get", "--request-timeout=10s"], what].concat())?;
        ensure!(is_expected(&answer), "kubectl says {answer:?}");
        Ok(answer)
    }

    /// Repeats an attempt until it succeeds. `who` is the daemon that it depends on.
    fn wait(&self, node: &Node, who: &str, what: &str, attempt: impl Fn() -> Result<()>) -> Result<()> {
        let start = Instant::now();
        while let Err(error) = attempt() {
            if let Some(failure) = self.failures()?.pop() {
                bail!("{what}: not as long as {failure}");
            }
            if start.elapsed() > PATIENCE {
                let last_words = last_words(&node.folder().join("log").join(who));
                return Err(error.context(format!("{what}: not after {PATIENCE:?}; {last_words}")));
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

impl Plan {
    /// The node with this number, as soon as its namespaces are there.
    pub(super) fn node(&self, number: usize) -> Result<Node> {
        let folder = node::folder(&self.folder, number);
        let spaces = await_namespaces(&folder.join("log/init"), || Spaces::of(&folder))?;
        let environment = [
            ("PATH", self.programs.path()),
            ("KUBECONFIG", self.credentials().kubeconfig("admin").into_os_string()),
            // kubectl and Helm write to the user's home folder.
            ("HOME", folder.join("home").into_os_string()),
        ];
        Ok(Node::new(number, folder, self.addresses.node(number), spaces, environment))
    }
}

/// Routes the pods of a node to it, on another node.
fn route(at: &Node, to: &Node, pods: &[String; 2]) -> Result<()> {
    let mut lines = String::new();
    for (pods, address) in pods.iter().zip(to.addresses()) {
        writeln!(lines, "route add {pods} via {address}")?;
    }
    at.network()?.ip(&lines).map(drop).with_context(|| format!("the routes of {}", at.name()))
}

/// Makes the folders of the cluster and of its nodes, for root alone: tokens and keys are in them.
fn make_folders(folder: &Path, nodes: usize) -> Result<()> {
    let of_nodes = (1..=nodes).map(|number| node::folder(folder, number));
    let parts = of_nodes.flat_map(|node| [node.join("log"), node.join("running")]);
    for part in [folder.to_owned()].into_iter().chain(parts) {
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&part);
        made.with_context(|| format!("making {}", part.display()))?;
    }
    Ok(())
}

/// Waits until namespaces are created, whose creator writes to `log`.
fn await_namespaces<T>(log: &Path, open: impl Fn() -> Option<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(namespaces) = open() {
            return Ok(namespaces);
        }
        if start.elapsed() > START {
            bail!("namespaces are not there after {START:?}; {}", last_words(log));
        }
        thread::sleep(Duration::from_millis(20));
    }
}
