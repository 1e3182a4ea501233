//! One node of a cluster.

use std::{
    ffi::{OsStr, OsString},
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use nix::ifaddrs::getifaddrs;

use super::spaces::Spaces;
use crate::{command, netns::Namespace};

/// A node: network, mount, pid, uts and ipc namespaces with containerd, kubelet and kube-proxy. The first one has the
/// control plane, too.
#[derive(Debug)]
pub struct Node {
    number: usize,
    folder: PathBuf,
    addresses: [IpAddr; 2],
    spaces: Spaces,
    /// Variables with which programs are started: `PATH`, `HOME` and `KUBECONFIG`.
    environment: [(&'static str, OsString); 3],
}

impl Node {
    pub(super) fn new(
        number: usize,
        folder: PathBuf,
        addresses: [IpAddr; 2],
        spaces: Spaces,
        environment: [(&'static str, OsString); 3],
    ) -> Self {
        Self { number, folder, addresses, spaces, environment }
    }

    /// The node's name in the cluster, such as `node1`.
    #[must_use]
    pub fn name(&self) -> String {
        name(self.number)
    }

    /// The node's addresses in the network between the nodes, of IPv4 and IPv6.
    #[must_use]
    pub fn addresses(&self) -> [IpAddr; 2] {
        self.addresses
    }

    /// Its place among the nodes. The first one is 1.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// The folder with the node's state.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn spaces(&self) -> &Spaces {
        &self.spaces
    }

    /// Creates a command for a program inside the node, with the machine's files. The cluster's programs are on its
    /// `PATH`, and it has all permissions in the cluster.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.spaces.command(program);
        command.envs(self.environment.clone());
        command
    }

    /// Runs a program inside the node, with `input` on its stdin. Returns its stdout.
    ///
    /// # Errors
    /// The program can't be started, or ends with a failure. The error has its stderr.
    pub fn exec(&self, program: &str, args: &[&str], input: &str) -> Result<String> {
        command::output(self.command(program).args(args), input)
    }

    /// The node's network namespace.
    ///
    /// # Errors
    /// The node does not run any more.
    pub fn network(&self) -> Result<Namespace> {
        self.spaces.network()
    }

    /// The network namespace of a running pod of this node by its address, or `None`.
    ///
    /// # Errors
    /// The node's namespaces can't be listed.
    pub fn pod(&self, address: IpAddr) -> Result<Option<Namespace>> {
        for candidate in self.spaces.wired()? {
            if candidate.run(|| has_address(address))?? {
                return Ok(Some(candidate));
            }
        }
        Ok(None)
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
        command::output(&mut ctr, "")
            .map(drop)
            .with_context(|| format!("importing an image on {}", self.name()))
    }
}

/// The name of the node with this number.
pub(super) fn name(number: usize) -> String {
    format!("node{number}")
}

/// The folder with the state of the node with this number, in its cluster's folder.
pub(super) fn folder(cluster: &Path, number: usize) -> PathBuf {
    cluster.join(name(number))
}

/// Returns true if an interface of the current network namespace has this address.
fn has_address(address: IpAddr) -> Result<bool> {
    let mut addresses = getifaddrs().context("listing addresses")?.filter_map(|interface| interface.address);
    Ok(addresses.any(|own| {
        own.as_sockaddr_in().is_some_and(|own| IpAddr::from(own.ip()) == address)
            || own.as_sockaddr_in6().is_some_and(|own| IpAddr::from(own.ip()) == address)
    }))
}
