//! The queue of lines, and the thread that writes them. A slow reader of standard output delays only the lines.
//!
//! If the queue is full, lines are dropped and counted as lost.

use std::{
    io::{self, Write},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::{Format, LineArgs, compact, summary};
use crate::{
    model::{Finding, Flow, LossCause, Summary},
    sink::{Sink, json},
};

/// The number of lines that may wait in the queue.
const BACKLOG: usize = 65_536;

/// The sink that queues lines.
#[derive(Debug)]
pub struct Lines {
    format: Format,
    findings_only: bool,
    with_summary: bool,
    queue: SyncSender<String>,
    lost: u64,
}

/// Starts a thread that writes to `output`. `None` if no format was chosen.
///
/// The thread ends when [`Lines`] is dropped and everything is written, or when writing fails. The receiver gets the
/// result.
///
/// # Errors
///
/// The thread can't be started.
pub fn writer(
    args: &LineArgs,
    output: impl Write + Send + 'static,
) -> io::Result<Option<(Lines, oneshot::Receiver<io::Result<()>>)>> {
    let LineArgs { output: format, findings_only, summary: with_summary } = *args;
    let Some(format) = format else { return Ok(None) };
    let (queue, lines) = sync_channel(BACKLOG);
    let (end, ended) = oneshot::channel();
    thread::Builder::new().name("lines".to_owned()).spawn(move || {
        // This fails if the receiver was dropped because the run has ended.
        let _ = end.send(write(&lines, output));
    })?;
    Ok(Some((Lines { format, findings_only, with_summary, queue, lost: 0 }, ended)))
}

/// Writes lines, and flushes whenever the queue is empty. So a line is visible at once, and many lines need one system
/// call.
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
    fn line(&mut self, line: serde_json::Result<String>) {
        if !line.is_ok_and(|line| self.queue.try_send(line).is_ok()) {
            self.lost += 1;
        }
    }
}

impl Sink for Lines {
    fn flow(&mut self, flow: &Flow) {
        if self.findings_only {
            return;
        }
        let line = match self.format {
            Format::Compact => Ok(compact::flow(flow)),
            Format::Json => json::flow(flow),
        };
        self.line(line);
    }

    fn finding(&mut self, finding: &Finding, _: Timestamp) {
        let line = match self.format {
            Format::Compact => Ok(compact::finding(finding)),
            Format::Json => json::finding(finding),
        };
        self.line(line);
    }

    fn summary(&mut self, summary: &Summary) {
        if !self.with_summary {
            return;
        }
        let lost = summary.lost + self.lost;
        let line = match self.format {
            Format::Compact => Ok(summary::text(summary, lost)),
            Format::Json => summary::json(summary, lost),
        };
        self.line(line);
    }

    fn lost(&self) -> Option<(LossCause, u64)> {
        Some((LossCause::SlowReader, self.lost))
    }
}
