//! A server process. It ends at the latest when the thread that started it ends.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use anyhow::{Context as _, Result};

use crate::netns::Namespace;

/// The network namespace in which servers run and listen.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'a> {
    /// The network namespace of the calling thread.
    Host,
    /// Another network namespace.
    Inside(&'a Namespace),
}

impl Place<'_> {
    /// Creates a command for a program in this namespace. The program is killed when the thread that starts it ends.
    pub(super) fn command(self, program: &Path) -> Command {
        match self {
            Self::Host => {
                let mut command = Command::new("setpriv");
                command.args(["--pdeathsig", "KILL", "--"]).arg(program);
                command
            }
            Self::Inside(namespace) => namespace.command(program),
        }
    }

    /// Runs `work` in this namespace, so that its sockets belong to the namespace.
    pub(super) fn run<T: Send>(self, work: impl FnOnce() -> T + Send) -> Result<T> {
        match self {
            Self::Host => Ok(work()),
            Self::Inside(namespace) => namespace.run(work),
        }
    }
}

/// A process with its output in a file. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(super) fn start(command: &mut Command, log: PathBuf) -> Result<Self> {
        let open = || File::options().create(true).append(true).open(&log);
        let file = open().with_context(|| format!("opening {}", log.display()))?;
        let copy = file.try_clone().context("a second handle of a log")?;
        let child = command.stdin(Stdio::null()).stdout(file).stderr(copy).spawn();
        let program = command.get_program().to_string_lossy();
        Ok(Self { child: child.with_context(|| format!("starting `{program}`"))?, log })
    }

    /// The exit status of the process, if it has ended.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("waiting for a server")
    }

    /// The last lines of the process's output.
    pub(super) fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines.get(lines.len().saturating_sub(10)..).unwrap_or_default().join("\n")
    }

    /// Kills the process (SIGKILL).
    pub(super) fn kill(&mut self) -> Result<()> {
        self.child.kill().context("killing a server")?;
        self.child.wait().context("waiting for a killed server")?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // This fails if the process has already been killed.
        let _ = self.kill();
    }
}
