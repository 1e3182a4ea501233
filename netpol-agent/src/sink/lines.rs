//! Lines on standard output, written by a thread of its own: a slow reader holds up nothing but the lines.

use std::{
    io::{self, Write},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{self, JoinHandle},
};

use super::{Summary, compact, json};
use crate::model::{Finding, Flow};

/// Lines that may wait to be written.
const WAITING: usize = 65_536;

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people: Hubble's compact form.
    Compact,
    /// For programs: one JSON object a line.
    Json,
}

/// Where lines go in.
#[derive(Debug)]
pub struct Lines {
    format: Format,
    findings_only: bool,
    queue: SyncSender<String>,
    lost: u64,
}

/// The thread that writes them; it ends when [`Lines`] is dropped and everything is written.
pub type LineWriter = JoinHandle<io::Result<()>>;

/// Starts writing to `output`; with `findings_only`, no connections.
///
/// # Errors
///
/// No thread can be had.
pub fn writer(
    format: Format,
    findings_only: bool,
    output: impl Write + Send + 'static,
) -> io::Result<(Lines, LineWriter)> {
    let (queue, lines) = sync_channel(WAITING);
    let thread = thread::Builder::new().name("lines".to_owned()).spawn(move || write(&lines, output))?;
    Ok((Lines { format, findings_only, queue, lost: 0 }, thread))
}

/// Flushes whenever it has caught up, so that a line is seen at once and many lines cost one system call.
fn write(lines: &Receiver<String>, mut output: impl Write) -> io::Result<()> {
    while let Ok(first) = lines.recv() {
        writeln!(output, "{first}")?;
        for line in lines.try_iter() {
            writeln!(output, "{line}")?;
        }
        output.flush()?;
    }
    Ok(())
}

impl Lines {
    /// A judged connection.
    pub fn flow(&mut self, flow: &Flow) {
        if self.findings_only {
            return;
        }
        let line = match self.format {
            Format::Compact => Ok(compact::flow(flow)),
            Format::Json => json::flow(flow),
        };
        self.line(line);
    }

    /// A finding that has opened or closed.
    pub fn finding(&mut self, finding: &Finding) {
        let line = match self.format {
            Format::Compact => Ok(compact::finding(finding)),
            Format::Json => json::finding(finding),
        };
        self.line(line);
    }

    /// The end of the run.
    pub fn summary(&mut self, summary: &Summary<'_>) {
        let line = match self.format {
            Format::Compact => Ok(summary.text()),
            Format::Json => summary.json(),
        };
        self.line(line);
    }

    /// Lines that were lost since the reader was too slow, or gone.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn line(&mut self, line: serde_json::Result<String>) {
        if !line.is_ok_and(|line| self.queue.try_send(line).is_ok()) {
            self.lost += 1;
        }
    }
}
