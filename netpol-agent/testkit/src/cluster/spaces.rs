//! The Linux namespaces of a node, and how to run programs in them.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{command, netns::Namespace};

/// A node's network, mount, pid, uts and ipc namespaces. They are entered through the node's process 1.
#[derive(Debug)]
pub(super) struct Spaces {
    /// The process id of the node's process 1, on the machine.
    init: u32,
}

impl Spaces {
    /// The namespaces of the node with its state in `folder`. `None` while they are being created.
    pub(super) fn of(folder: &Path) -> Option<Self> {
        let init = fs::read_to_string(folder.join("pid")).ok()?.trim().parse().ok()?;
        Some(Self { init })
    }

    /// Creates a command for a program inside the node. System tools are found even if they are not on `PATH`.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = command::command("nsenter");
        command.args(["--target", &self.init.to_string()]);
        command.args(["--mount", "--net", "--pid", "--uts", "--ipc", "--"]).arg(program);
        command
    }

    /// The process id of the node's process 1, on the machine.
    pub(super) fn init(&self) -> u32 {
        self.init
    }

    /// Returns true if the process with this id inside the node is running.
    pub(super) fn runs(&self, id: &str) -> bool {
        self.path("/proc").join(id).exists()
    }

    /// The path of a node's file on the machine.
    pub(super) fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.init))
    }

    /// The network namespace of the node.
    pub(super) fn network(&self) -> Result<Namespace> {
        Namespace::open(Path::new(&format!("/proc/{}/ns/net", self.init)))
    }

    /// The network namespaces that the CNI plugins have set up: those of all pods except host-network pods.
    pub(super) fn wired(&self) -> Result<Vec<Namespace>> {
        let folder = self.path("/run/netns");
        let context = || format!("listing {}", folder.display());
        let entries = fs::read_dir(&folder).with_context(context)?;
        // A namespace that is removed meanwhile is left out.
        Ok(entries.filter_map(|entry| Namespace::open(&entry.ok()?.path()).ok()).collect())
    }
}
