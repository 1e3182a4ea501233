//! Those who are told what the agent finds: lines of text or JSON, Prometheus metrics, Kubernetes Events, Hubble's API.
//!
//! Each is a folder of its own, with its configuration (the flags of `netpol-agent run`), how it is built from that, and
//! the task that does its I/O. A sink knows the model alone. To add one: a folder here, a line in [`SinkArgs`], a line in
//! [`SinkArgs::build`].

mod args;
pub mod events;
mod format;
pub mod hubble;
mod json;
pub mod lines;
pub mod metrics;

use std::{pin::Pin, time::Duration};

use anyhow::Result;
use jiff::Timestamp;

pub use args::{SinkArgs, SinkContext};

use crate::model::{Finding, Flow, LossCause, Status, Summary};

/// Something that is told what comes out of the pipeline. None of these may block: a sink with I/O has a queue and a task.
pub trait Sink: Send {
    /// A judged connection.
    fn flow(&mut self, flow: &Flow) {
        let _ = flow;
    }

    /// A finding that has opened or closed, by a connection that began at this time.
    fn finding(&mut self, finding: &Finding, time: Timestamp) {
        let _ = (finding, time);
    }

    /// How the agent is doing, several times a second. The losses of sinks are among those in it.
    fn status(&mut self, status: &Status) {
        let _ = status;
    }

    /// The end of the run.
    fn summary(&mut self, summary: &Summary) {
        let _ = summary;
    }

    /// What this sink has lost so far, where it can lose something.
    fn lost(&self) -> Option<(LossCause, u64)> {
        None
    }
}

/// A task that a sink needs.
pub type Task = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// A sink that is ready, and what it needs to run.
pub struct Built {
    /// Where outputs go in.
    pub sink: Box<dyn Sink>,
    /// Runs for as long as the agent does; if it fails, the agent ends with its error.
    pub serve: Option<Task>,
    /// Ends by itself once the sink is dropped and all that it took in has been written.
    pub drain: Option<Drain>,
}

/// A task that is waited for at the end of the run.
pub struct Drain {
    /// The task. It is started with the agent.
    pub task: Task,
    /// How long to wait for it, at the end.
    pub limit: Duration,
    /// What to log where that was not enough.
    pub too_late: &'static str,
}

impl Built {
    /// A sink without tasks.
    pub fn new(sink: impl Sink + 'static) -> Self {
        Self { sink: Box::new(sink), serve: None, drain: None }
    }
}
