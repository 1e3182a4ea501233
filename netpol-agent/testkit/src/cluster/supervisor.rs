//! The supervisor: a process that removes a cluster when its owner ends.

use std::{
    fs,
    io::Write as _,
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use anyhow::{Context as _, Result};

const SUPERVISOR: &str = include_str!("supervisor.sh");
const INIT: &str = include_str!("init.sh");

/// A process outside the nodes that removes the cluster when this is dropped, and also when the current process is killed.
#[derive(Debug)]
pub(super) struct Supervisor {
    process: Child,
    /// The supervisor removes the cluster when this pipe is closed.
    stdin: Option<ChildStdin>,
}

impl Supervisor {
    /// Creates the namespaces of `nodes` nodes, with process 1 in them, and the one of the network between them. `claim` is
    /// held as long as the cluster exists.
    pub(super) fn start(folder: &Path, name: &str, nodes: usize, claim: OwnedFd) -> Result<Self> {
        let script = folder.join("supervisor.sh");
        for (path, text) in [(&script, SUPERVISOR), (&folder.join("init.sh"), INIT)] {
            fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        let log = folder.join("supervisor.log");
        let log = fs::File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let mut process = Command::new("sh")
            .arg(script)
            .arg(folder)
            .arg(name)
            .arg(nodes.to_string())
            .stdin(Stdio::piped())
            // The supervisor prints nothing. Stdout is the only descriptor left that can be passed without unsafe
            // code.
            .stdout(claim)
            .stderr(log)
            // The supervisor must not receive the terminal's signals.
            .process_group(0)
            .spawn()
            .context("starting `sh`")?;
        let stdin = process.stdin.take();
        Ok(Self { process, stdin })
    }

    /// Keeps the cluster without this process, until a line is written to the FIFO `control` in its folder.
    pub(super) fn keep(mut self) -> Result<()> {
        let mut stdin = self.stdin.take().context("the supervisor has no stdin")?;
        stdin.write_all(b"keep\n").context("telling the supervisor to keep the cluster")
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // After `keep` there is no need to wait.
        if self.stdin.take().is_some() {
            let _ = self.process.wait();
        }
    }
}
