//! A complete Kubernetes node on this machine: etcd, the control plane, containerd, kubelet and kube-proxy. All are
//! real, and run in their own network, mount, pid, uts and ipc namespaces. The node's CNI plugin does not enforce
//! NetworkPolicies.
//!
//! # Clean-up
//!
//! A supervisor process outside of the node removes the node when a [`Node`] is dropped, and also when its process
//! panics, is interrupted or is killed. Files that the node's programs write to the machine's folders are in memory
//! only. The machine-wide settings that kubelet would change are hidden by files that have the values that it expects.
//!
//! # Several nodes at the same time
//!
//! Each node has its own block of addresses, like a lab. Its names are derived from the block.

mod busybox;
mod cgroups;
mod component;
mod credentials;
mod daemons;
mod network;
mod persistent;
mod spaces;
mod supervisor;

use std::{
    ffi::OsStr,
    fs,
    net::IpAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::ifaddrs::getifaddrs;
use tempfile::TempDir;

use crate::{
    command, kubernetes,
    netns::{Block, Namespace},
};
use component::last_words;
use credentials::Credentials;
use daemons::Plan;
use spaces::Spaces;
use supervisor::Supervisor;

pub use busybox::BUSYBOX;
pub use network::Cni;

/// The timeout for each step of the node's start, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// The timeout for the creation of the node's namespaces.
const START: Duration = Duration::from_secs(20);

/// A Kubernetes node that is Ready. It is removed when this is dropped, unless it is persistent.
#[derive(Debug)]
pub struct Node {
    /// The node's name on the machine, for its control groups and its interface.
    name: String,
    folder: PathBuf,
    /// The folder with Kubernetes' programs.
    programs: PathBuf,
    spaces: Spaces,
    /// `None` if another process owns the node.
    supervisor: Option<Supervisor>,
}

impl Node {
    /// The node's name in the cluster.
    pub const NAME: &str = "netpol-node";

    /// Starts a node, and waits until pods can run on it. The node has the image [`BUSYBOX`].
    ///
    /// # Errors
    /// The process lacks root's capabilities, a program is missing (`cargo xtask setup`), or a part of the node does
    /// not start. The error has the end of its output.
    pub fn up(cni: Cni) -> Result<Self> {
        let folder = TempDir::with_prefix("netpol-node-").context("making a folder for the node")?;
        let node = Self::up_in(folder.path(), cni)?;
        // The supervisor removes the folder.
        let _ = folder.keep();
        Ok(node)
    }

    /// Like [`Self::up`], with the node's state in `folder`, which is created if it does not exist.
    fn up_in(folder: &Path, cni: Cni) -> Result<Self> {
        let programs = kubernetes::built()?;
        let block = Block::claim()?;
        let name = format!("np-node-{}", block.index());
        for part in ["", "log", "running"] {
            let mut builder = fs::DirBuilder::new();
            let made = builder.recursive(true).mode(0o700).create(folder.join(part));
            made.with_context(|| format!("making {}", folder.display()))?;
        }
        let supervisor = Supervisor::start(folder, &name, block.share()?)?;
        let spaces = spaces(folder)?;
        cgroups::make(&name)?;
        network::link(&spaces, &block, &name)?;
        let node = Self { name, folder: folder.to_owned(), programs, spaces, supervisor: Some(supervisor) };
        node.start(&Plan { folder, programs: &node.programs, cgroup: &node.name, block: &block, cni })?;
        Ok(node)
    }

    fn start(&self, plan: &Plan<'_>) -> Result<()> {
        self.credentials().make(&plan.url())?;
        for component in plan.foundation()? {
            component.start(&self.spaces, &self.folder)?;
        }
        let busybox = self.folder.join("busybox.tar");
        busybox::write(&busybox)?;
        self.wait("containerd", "containerd takes an image", || self.import(&busybox))?;
        self.wait("kube-apiserver", "the API server is ready", || self.ask(&["--raw", "/readyz"], "ok"))?;
        for component in plan.clients()? {
            component.start(&self.spaces, &self.folder)?;
        }
        let condition = "--output=jsonpath={.status.conditions[?(@.type=='Ready')].status}";
        self.wait("kubelet", "the node is Ready", || self.ask(&["node", Self::NAME, condition], "True"))?;
        // Pods are rejected before the ServiceAccount has its token.
        let secrets = "--output=jsonpath={.secrets[*].name}";
        let account = ["serviceaccount", "default", secrets];
        self.wait("kube-controller-manager", "ServiceAccounts are made", || self.ask(&account, "default-"))
    }

    /// Runs `kubectl get`. Fails unless its output begins with `expected`.
    fn ask(&self, what: &[&str], expected: &str) -> Result<()> {
        let answer = self.kubectl(&[&["get", "--request-timeout=10s"], what].concat())?;
        ensure!(answer.starts_with(expected), "kubectl says {answer:?} instead of {expected:?}");
        Ok(())
    }

    /// Repeats an attempt until it succeeds. `who` is the daemon that it depends on.
    fn wait(&self, who: &str, what: &str, attempt: impl Fn() -> Result<()>) -> Result<()> {
        let start = Instant::now();
        while let Err(error) = attempt() {
            if let Some(failure) = self.failures()?.pop() {
                bail!("{what}: not as long as {failure}");
            }
            if start.elapsed() > PATIENCE {
                let last_words = last_words(&self.folder.join("log").join(who));
                return Err(error.context(format!("{what}: not after {PATIENCE:?}; {last_words}")));
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// The kubeconfig of the user with all permissions. It can be used in the node and on the machine.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.credentials().kubeconfig("admin")
    }

    fn credentials(&self) -> Credentials {
        Credentials::of(&self.folder)
    }

    /// Creates a command for a program inside the node, with the machine's files. Kubernetes' programs are on its
    /// `PATH`, and it has all permissions in the cluster.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.spaces.command(program);
        let path = command.get_envs().find_map(|(name, value)| value.filter(|_| name == "PATH"));
        let mut all = self.programs.clone().into_os_string();
        all.push(":");
        all.push(path.unwrap_or_default());
        // kubectl and Helm write to the user's home folder.
        command.env("PATH", all).env("KUBECONFIG", self.kubeconfig()).env("HOME", self.folder.join("home"));
        command
    }

    /// Runs a program inside the node, with `input` on its stdin. Returns its stdout.
    ///
    /// # Errors
    /// The program can't be started, or ends with a failure. The error has its stderr.
    pub fn exec(&self, program: &str, args: &[&str], input: &str) -> Result<String> {
        command::output(self.command(program).args(args), input)
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

    /// The node's network namespace.
    ///
    /// # Errors
    /// The node does not run any more.
    pub fn network(&self) -> Result<Namespace> {
        self.spaces.network()
    }

    /// The network namespace of a running pod. The pod must not be a host-network pod.
    ///
    /// # Errors
    /// There is no such pod.
    pub fn pod(&self, namespace: &str, name: &str) -> Result<Namespace> {
        let args = ["get", "pod", "--namespace", namespace, name, "--output", "jsonpath={.status.podIP}"];
        let address: IpAddr = self.kubectl(&args)?.parse().context("a pod without an address")?;
        for candidate in self.spaces.wired()? {
            if candidate.run(|| has_address(address))?? {
                return Ok(candidate);
            }
        }
        bail!("no network namespace has {address}, the address of pod {namespace}/{name}")
    }

    /// Imports the images of an archive from `docker save`, or from `buildah push` to an `oci-archive`.
    ///
    /// # Errors
    /// containerd fails. The error has its message.
    pub fn import(&self, archive: &Path) -> Result<()> {
        // Inside the node, the working folder is a different one.
        let archive = archive.canonicalize().with_context(|| format!("the archive {}", archive.display()))?;
        let mut ctr = self.command("ctr");
        ctr.args(["--namespace", "k8s.io", "images", "import"]).arg(archive);
        command::output(&mut ctr, "").map(drop)
    }

    /// The node's traces on the machine, which are removed with it: its folder, its control groups and its interface.
    ///
    /// # Errors
    /// The machine has no control groups.
    pub fn traces(&self) -> Result<Vec<PathBuf>> {
        let mut traces = cgroups::of(&self.name)?;
        traces.extend([self.folder.clone(), Path::new("/sys/class/net").join(&self.name)]);
        Ok(traces)
    }

    /// The daemons that are not running, each with the end of its log. Empty if all are running.
    ///
    /// # Errors
    /// The node's folder can't be read.
    pub fn failures(&self) -> Result<Vec<String>> {
        component::failures(&self.spaces, &self.folder)
    }
}

/// Returns true if an interface of the current network namespace has this address.
fn has_address(address: IpAddr) -> Result<bool> {
    let mut addresses = getifaddrs().context("listing addresses")?.filter_map(|interface| interface.address);
    Ok(addresses.any(|own| own.as_sockaddr_in().is_some_and(|own| IpAddr::from(own.ip()) == address)))
}

/// Waits until the namespaces are created.
fn spaces(folder: &Path) -> Result<Spaces> {
    let start = Instant::now();
    loop {
        if let Some(spaces) = Spaces::of(folder) {
            return Ok(spaces);
        }
        if start.elapsed() > START {
            bail!(
                "the node's namespaces are not there after {START:?}; {}",
                last_words(&folder.join("log/init"))
            );
        }
        thread::sleep(Duration::from_millis(20));
    }
}
