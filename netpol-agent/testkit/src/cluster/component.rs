//! Starts a daemon of the node, and reports the daemons that are not running.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::node::Node;
use crate::command;

/// The number of lines of a daemon's log in an error.
const LAST_WORDS: usize = 15;

/// A daemon of the node. It is a child of the node's process 1, and its log is in the node's folder.
#[derive(Clone, Debug)]
pub(super) struct Component {
    name: &'static str,
    program: PathBuf,
    args: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
    restarts: bool,
}

impl Component {
    /// Creates a daemon with the name of its program.
    pub(super) fn new(name: &'static str, program: impl Into<PathBuf>) -> Self {
        Self { name, program: program.into(), args: Vec::new(), environment: Vec::new(), restarts: false }
    }

    /// Adds a flag with its value.
    pub(super) fn flag(mut self, flag: &str, value: impl AsRef<OsStr>) -> Self {
        let mut arg = OsString::from(format!("--{flag}="));
        arg.push(value);
        self.args.push(arg);
        self
    }

    /// Adds flags.
    pub(super) fn flags<const N: usize>(self, flags: [(&str, &str); N]) -> Self {
        flags.into_iter().fold(self, |component, (flag, value)| component.flag(flag, value))
    }

    /// Adds an argument.
    pub(super) fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Sets an environment variable.
    pub(super) fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// The daemon is started again when it ends, as kubelet does with the containers of a DaemonSet.
    pub(super) fn restarting(self) -> Self {
        Self { restarts: true, ..self }
    }

    /// Starts the daemon. It runs as long as the node.
    pub(super) fn start(&self, node: &Node) -> Result<()> {
        // The shell ends, and process 1 becomes the daemon's parent.
        let mut shell = node.command("sh");
        shell.args([
            "-c",
            "log=$1 pid=$2; shift 2; setsid \"$@\" </dev/null >\"$log\" 2>&1 & echo $! >\"$pid\"",
            "sh",
        ]);
        let folder = node.folder();
        shell.arg(folder.join("log").join(self.name)).arg(folder.join("running").join(self.name));
        if self.restarts {
            shell.args(["sh", "-c", "while :; do \"$@\"; echo \"ended with $?\"; sleep 1; done", "sh"]);
        }
        shell.arg(&self.program).args(&self.args).envs(self.environment.iter().cloned());
        let context = || format!("starting {} on {}", self.name, node.name());
        command::output(&mut shell, "").map(drop).with_context(context)
    }
}

/// The daemons that were started and are not running, with the ends of their logs.
pub(super) fn failures(node: &Node) -> Result<Vec<String>> {
    let started = node.folder().join("running");
    let context = || format!("listing {}", started.display());
    let mut failures = Vec::new();
    for entry in fs::read_dir(&started).with_context(context)? {
        let path = entry.with_context(context)?.path();
        let name = path.file_name().unwrap_or_default();
        let id = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        if !node.spaces().runs(id.trim()) {
            let last_words = last_words(&node.folder().join("log").join(name));
            failures.push(format!("{} of {} has ended; {last_words}", name.display(), node.name()));
        }
    }
    Ok(failures)
}

/// The end of a log, with its name.
pub(super) fn last_words(log: &Path) -> String {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    let lines: Vec<_> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(LAST_WORDS)..).unwrap_or_default().join("\n");
    format!("the last lines of {}:\n{last}", log.display())
}
