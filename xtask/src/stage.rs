//! Progress of a task that has several stages.

use std::time::Instant;

use anyhow::{Context as _, Result};

/// Prints a head line for each stage, with the time since the task began.
pub(crate) struct Stages {
    start: Instant,
}

impl Stages {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Runs one stage; a failure says which one it was.
    pub(crate) fn run<T>(&self, title: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        eprintln!("==> [{:6.1} s] {title}", self.seconds());
        work().with_context(|| format!("stage `{title}`"))
    }

    pub(crate) fn done(&self, what: &str) {
        eprintln!("==> [{:6.1} s] {what}", self.seconds());
    }

    fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }
}
