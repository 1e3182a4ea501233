//! The namespaces of a node.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{command, netns::Namespace};

/// A node's network, mount, pid, uts and ipc namespaces, entered through its process 1.
#[derive(Debug)]
pub(super) struct Spaces {
    /// Process 1, as the machine numbers it.
    init: u32,
}

impl Spaces {
    /// Those of the node with its state in `folder`; `None` while they are being made.
    pub(super) fn of(folder: &Path) -> Option<Self> {
        let init = fs::read_to_string(folder.join("pid")).ok()?.trim().parse().ok()?;
        Some(Self { init })
    }

    /// A program inside; system tools are found even if `PATH` leaves them out.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = command::command("nsenter");
        command.args(["--target", &self.init.to_string()]);
        command.args(["--mount", "--net", "--pid", "--uts", "--ipc", "--"]).arg(program);
        command
    }

    /// Puts a veth pair between the machine and the node: `outer` here, `eth0` there.
    pub(super) fn link(&self, outer: &str) -> Result<()> {
        let init = self.init.to_string();
        let args = ["link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", &init];
        command::run("ip", &args, "").map(drop)
    }

    /// Whether the process with this id inside the node is running.
    pub(super) fn runs(&self, id: &str) -> bool {
        self.path("/proc").join(id).exists()
    }

    /// Where a file of the node is for the machine.
    pub(super) fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.init))
    }

    /// The network namespace of the node.
    pub(super) fn network(&self) -> Result<Namespace> {
        Namespace::open(Path::new(&format!("/proc/{}/ns/net", self.init)))
    }

    /// The network namespaces that the CNI plugins have wired: those of pods, but for pods on the node's own network.
    pub(super) fn wired(&self) -> Result<Vec<Namespace>> {
        let folder = self.path("/run/netns");
        let context = || format!("listing {}", folder.display());
        let entries = fs::read_dir(&folder).with_context(context)?;
        // One that goes meanwhile is none.
        Ok(entries.filter_map(|entry| Namespace::open(&entry.ok()?.path()).ok()).collect())
    }
}
