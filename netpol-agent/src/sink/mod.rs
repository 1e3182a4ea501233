//! The sinks: they receive the pipeline's outputs and report them as lines of text or JSON, as Prometheus metrics, as
//! Kubernetes Events, and through Hubble's API.
//!
//! Each sink has its own folder. It contains the sink's flags (of `netpol-agent run`), the code that builds it, and
//! the task that does its I/O. A sink depends only on the model. To add a sink, add a folder here, a line in
//! [`SinkArgs`], and a line in [`SinkArgs::build`].

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

/// Receives the pipeline's outputs. No method may block: a sink that does I/O has a queue and a task.
pub trait Sink: Send {
    /// Reports a connection with its verdict.
    fn flow(&mut self, flow: &Flow) {
        let _ = flow;
    }

    /// Reports a finding that was opened or closed. `time` is the start of the connection that caused it.
    fn finding(&mut self, finding: &Finding, time: Timestamp) {
        let _ = (finding, time);
    }

    /// Reports the agent's status, several times a second. It includes the losses of the sinks.
    fn status(&mut self, status: &Status) {
        let _ = status;
    }

    /// Reports the summary at the end of the run.
    fn summary(&mut self, summary: &Summary) {
        let _ = summary;
    }

    /// The number of outputs that this sink has lost so far. `None` if it can't lose any.
    fn lost(&self) -> Option<(LossCause, u64)> {
        None
    }
}

/// A task of a sink.
pub type Task = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// A sink that was built, with its tasks.
pub struct Built {
    /// The sink.
    pub sink: Box<dyn Sink>,
    /// A task that runs as long as the agent. If it fails, the agent ends with its error.
    pub serve: Option<Task>,
    /// A task that ends by itself once the sink is dropped and all of its outputs are written.
    pub drain: Option<Drain>,
}

/// A task that is awaited at the end of the run.
pub struct Drain {
    /// The task. It is started with the agent.
    pub task: Task,
    /// How long to wait for the task at the end.
    pub limit: Duration,
    /// What to log if the task takes longer.
    pub too_late: &'static str,
}

impl Built {
    /// Creates a sink without tasks.
    pub fn new(sink: impl Sink + 'static) -> Self {
        Self { sink: Box::new(sink), serve: None, drain: None }
    }
}
