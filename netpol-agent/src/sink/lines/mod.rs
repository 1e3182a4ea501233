//! Writes connections and findings to standard output, one line each, as text or JSON.

mod compact;
mod summary;
mod writer;

use std::{io, time::Duration};

use anyhow::{Context as _, Result};
use clap::ValueEnum;

pub use writer::{Lines, writer};

use super::{Built, Drain};

/// How long the reader of standard output may take for the remaining lines at the end of the run.
const LAST_LINES: Duration = Duration::from_secs(2);

/// The flags of this sink.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LineArgs {
    /// Print each connection and finding on standard output.
    #[arg(long, short, value_enum, value_name = "FORMAT")]
    pub output: Option<Format>,

    /// Print only findings (needs --output).
    #[arg(long, requires = "output")]
    pub findings_only: bool,

    /// Print connections by outcome, and the open findings, at the end (needs --output).
    #[arg(long, requires = "output")]
    pub summary: bool,
}

/// The format of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Lines for people, in Hubble's compact style.
    Compact,
    /// One JSON object a line.
    Json,
}

impl LineArgs {
    /// Starts the writer thread.
    ///
    /// # Errors
    ///
    /// The thread can't be started.
    pub fn build(self) -> Result<Option<Built>> {
        if self.output.is_none() {
            return Ok(None);
        }
        let Some((lines, ended)) = writer(&self, io::stdout()).context("the thread that writes lines")?
        else {
            return Ok(None);
        };
        let task = async move {
            ended.await.context("the thread that writes lines has failed")?.context("standard output")
        };
        let too_late = "standard output is no longer read: the last lines are lost";
        let drain = Drain { task: Box::pin(task), limit: LAST_LINES, too_late };
        Ok(Some(Built { drain: Some(drain), ..Built::new(lines) }))
    }
}
