//! A complete Kubernetes cluster on this machine: etcd, the control plane, and nodes with containerd, kubelet and
//! kube-proxy. All are real. Each node runs in its own network, mount, pid, uts and ipc namespaces. The nodes are
//! connected by a network in a namespace of its own, with IPv4 and IPv6. A network plugin connects the pods.
//!
//! # Clean-up
//!
//! A supervisor process outside of the nodes removes the cluster when a [`Cluster`] is dropped, and also when its
//! process panics, is interrupted or is killed. Files that the nodes' programs write to the machine's folders are in
//! memory only. The machine-wide settings that kubelet would change are hidden by files that have the values that it
//! expects.
//!
//! # Several clusters at the same time
//!
//! Each cluster has its own block of addresses, like a lab. Its names on the machine are derived from the block.

mod addresses;
mod busybox;
mod cgroups;
mod component;
mod credentials;
mod daemons;
mod lan;
mod node;
mod persistent;
mod plugins;
mod programs;
mod spaces;
mod start;
mod supervisor;

use std::{
    ffi::OsStr,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{command, netns::Namespace};
use daemons::Plan;
use lan::Lan;
use supervisor::Supervisor;

pub use addresses::SERVICES;
pub use busybox::BUSYBOX;
pub use lan::Uplink;
pub use node::Node;
pub use plugins::{Plugin, Proxy};

/// What a cluster consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The number of nodes, from 1 to 8.
    pub nodes: usize,
    /// Who connects the pods.
    pub plugin: Plugin,
    /// The kind of the nodes' uplinks.
    pub uplink: Uplink,
    /// Who serves Services, unless the plugin does.
    pub proxy: Proxy,
}

impl Default for Options {
    fn default() -> Self {
        Self { nodes: 2, plugin: Plugin::default(), uplink: Uplink::default(), proxy: Proxy::default() }
    }
}

impl Options {
    /// Two nodes with this plugin.
    #[must_use]
    pub fn with(plugin: Plugin) -> Self {
        Self { plugin, ..Self::default() }
    }
}

/// A cluster whose nodes are Ready. It is removed when this is dropped, unless it is persistent.
#[derive(Debug)]
pub struct Cluster {
    plan: Plan,
    nodes: Vec<Node>,
    lan: Lan,
    /// `None` if another process owns the cluster.
    supervisor: Option<Supervisor>,
}

impl Cluster {
    /// Builds the programs that a cluster with this plugin needs.
    ///
    /// # Errors
    /// See [`Module::built`](crate::go::Module::built).
    pub fn prepare(plugin: Plugin) -> Result<()> {
        programs::Programs::of(plugin).map(drop)
    }

    /// The nodes. The first one has the control plane.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The kubeconfig of the user with all permissions. It can be used in the nodes and on the machine.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.plan.credentials().kubeconfig("admin")
    }

    /// The node with the control plane.
    fn control(&self) -> Result<&Node> {
        self.nodes.first().context("a cluster without nodes")
    }

    /// Creates a command for a program inside the first node, with the machine's files. Kubernetes' programs are on
    /// its `PATH`, and it has all permissions in the cluster.
    ///
    /// # Panics
    /// Never: a cluster has a node.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        match self.nodes.first() {
            Some(node) => node.command(program),
            None => Command::new(program),
        }
    }

    /// Runs a program inside the first node, with `input` on its stdin. Returns its stdout.
    ///
    /// # Errors
    /// The program can't be started, or ends with a failure. The error has its stderr.
    pub fn exec(&self, program: &str, args: &[&str], input: &str) -> Result<String> {
        self.control()?.exec(program, args, input)
    }

    /// Runs kubectl. Returns its stdout.
    ///
    /// # Errors
    /// kubectl fails. The error has its stderr.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.kubectl_with(args, "")
    }

    /// Applies the objects in a text of YAML documents.
    ///
    /// # Errors
    /// The API server rejects them. The error has its message.
    pub fn apply(&self, text: &str) -> Result<()> {
        self.kubectl_with(&["apply", "--filename", "-"], text).map(drop)
    }

    fn kubectl_with(&self, args: &[&str], input: &str) -> Result<String> {
        command::output(self.command("kubectl").args(args), input)
    }

    /// The network namespace of a running pod. The pod must not be a host-network pod.
    ///
    /// # Errors
    /// There is no such pod.
    pub fn pod(&self, namespace: &str, name: &str) -> Result<Namespace> {
        let args = ["get", "pod", "--namespace", namespace, name, "--output", "jsonpath={.status.podIP}"];
        let address: IpAddr = self.kubectl(&args)?.parse().context("a pod without an address")?;
        for node in &self.nodes {
            if let Some(pod) = node.pod(address)? {
                return Ok(pod);
            }
        }
        bail!("no network namespace has {address}, the address of pod {namespace}/{name}")
    }

    /// The network namespace of the network between the nodes. Its addresses belong to no node and to no pod.
    #[must_use]
    pub fn outside(&self) -> &Namespace {
        self.lan.namespace()
    }

    /// The addresses in that namespace, of IPv4 and IPv6.
    #[must_use]
    pub fn outside_addresses(&self) -> [IpAddr; 2] {
        self.plan.addresses.gateway()
    }

    /// Imports the images of an archive from `docker save`, or from `buildah push` to an `oci-archive`, on all nodes.
    ///
    /// # Errors
    /// containerd fails. The error has its message.
    pub fn import(&self, archive: &Path) -> Result<()> {
        self.nodes.iter().try_for_each(|node| node.import(archive))
    }

    /// The cluster's traces on the machine, which are removed with it: its folder, its control groups and its interface.
    ///
    /// # Errors
    /// The machine has no control groups.
    pub fn traces(&self) -> Result<Vec<PathBuf>> {
        let mut traces = cgroups::of(&self.plan.name)?;
        traces.extend([self.plan.folder.clone(), Path::new("/sys/class/net").join(&self.plan.name)]);
        Ok(traces)
    }

    /// The daemons that are not running, each with the end of its log. Empty if all are running.
    ///
    /// # Errors
    /// The cluster's folder can't be read.
    pub fn failures(&self) -> Result<Vec<String>> {
        let failures = self.nodes.iter().map(component::failures).collect::<Result<Vec<_>>>()?;
        Ok(failures.concat())
    }
}
