//! Starts the agent as a process inside a lab, waits until it is ready, and stops it.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader, Read},
    path::Path,
    process::{Child, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::netns::Lab;

/// The timeout for the agent to load its programs and to find the veths.
const START: Duration = Duration::from_secs(20);

/// The timeout for the agent to detach its programs and to write its output.
const STOP: Duration = Duration::from_secs(5);

/// A running agent. It is killed when this is dropped.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    readiness: Receiver<()>,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
}

/// What to do with the agent's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Printing {
    /// The output is kept, and [`Agent::stop`] returns it.
    Kept,
    /// The output is kept, and also printed at once.
    Shown,
}

impl Agent {
    /// Starts `binary` inside `node`, and waits until it reports on stderr that it is ready. It finds the pods' namespaces
    /// ([`Lab::netns_dir`]). The calling thread must not end before the agent.
    ///
    /// # Errors
    /// The agent can't be started, or it ends or does not get ready in time. The error has its output.
    pub fn start<A: AsRef<OsStr>>(
        node: &Lab,
        binary: &Path,
        args: impl IntoIterator<Item = A>,
        printing: Printing,
    ) -> Result<Self> {
        let mut agent = Self::spawn(node, binary, args, printing)?;
        agent.wait_until_ready().with_context(|| format!("starting {}", binary.display()))?;
        Ok(agent)
    }

    /// Like [`Self::start`], without waiting.
    ///
    /// # Errors
    /// The agent can't be started.
    pub fn spawn<A: AsRef<OsStr>>(
        node: &Lab,
        binary: &Path,
        args: impl IntoIterator<Item = A>,
        printing: Printing,
    ) -> Result<Self> {
        let mut command = node.command(binary);
        let command = command.env("NETPOL_NETNS_DIR", node.netns_dir());
        let command = command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting {}", binary.display()))?;
        let (ready, readiness) = channel();
        let stdout = child.stdout.take().map(|pipe| follow(pipe, printing, None));
        let stderr = child.stderr.take().map(|pipe| follow(pipe, printing, Some(ready)));
        Ok(Self { child, readiness, stdout, stderr })
    }

    /// The agent's process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Stops the agent (SIGTERM). Returns its stdout.
    ///
    /// # Errors
    /// The agent ends with a failure, or does not end in time.
    pub fn stop(self) -> Result<String> {
        self.end().map(|(stdout, _)| stdout)
    }

    /// Like [`Self::stop`]. Returns its stdout and its stderr.
    ///
    /// # Errors
    /// The agent ends with a failure, or does not end in time.
    pub fn end(mut self) -> Result<(String, String)> {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM)
            .context("sending SIGTERM to the agent")?;
        let start = Instant::now();
        let status = loop {
            match self.child.try_wait().context("waiting for the agent")? {
                Some(status) => break status,
                None if start.elapsed() > STOP => bail!("the agent still runs {STOP:?} after SIGTERM"),
                None => thread::sleep(Duration::from_millis(10)),
            }
        };
        let (stdout, stderr) = (text(&mut self.stdout), text(&mut self.stderr));
        if !status.success() {
            bail!("the agent ended with {status}: {stderr}");
        }
        Ok((stdout, stderr))
    }

    /// Kills the agent (SIGKILL), as a node that runs out of memory does.
    ///
    /// # Errors
    /// The agent has ended before.
    pub fn kill(mut self) -> Result<ExitStatus> {
        self.child.kill().context("killing the agent")?;
        self.child.wait().context("waiting for the agent")
    }

    /// Waits until the agent reports on stderr that it is ready.
    ///
    /// # Errors
    /// The agent ends or does not get ready in time. The error has its output.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        match self.readiness.recv_timeout(START) {
            Ok(()) => Ok(()),
            Err(RecvTimeoutError::Timeout) => bail!("the agent is not ready after {START:?}"),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.wait().context("waiting for the agent")?;
                bail!("the agent ended with {status}: {}", text(&mut self.stderr))
            }
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Both fail if the agent has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads all lines. Notifies `ready` at the first line that contains this word.
fn follow(
    pipe: impl Read + Send + 'static,
    printing: Printing,
    mut ready: Option<Sender<()>>,
) -> JoinHandle<String> {
    let is_ready = |line: &str| line.split(|char: char| !char.is_alphanumeric()).any(|word| word == "ready");
    let on_stderr = ready.is_some();
    thread::spawn(move || {
        let mut text = String::new();
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            match printing {
                Printing::Shown if on_stderr => eprintln!("{line}"),
                Printing::Shown => println!("{line}"),
                Printing::Kept => {}
            }
            if let Some(ready) = ready.take_if(|_| is_ready(&line)) {
                // This fails if nobody waits any more.
                let _ = ready.send(());
            }
            text.push_str(&line);
            text.push('\n');
        }
        text
    })
}

fn text(reader: &mut Option<JoinHandle<String>>) -> String {
    reader.take().and_then(|reader| reader.join().ok()).unwrap_or_default()
}
