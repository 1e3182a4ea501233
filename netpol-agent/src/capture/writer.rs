//! Writes captures.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::{Context as _, Result};

use super::line::{Bytes, FORMAT, Header, Line, ViewLine};
use crate::{
    model::Monotonic,
    pipeline::{Input, PipelineConfig},
    policy::ClusterView,
};

/// The maximum size of a capture, in bytes.
const LIMIT: u64 = 1 << 30;

/// Writes the pipeline's inputs to a capture.
pub struct CaptureWriter<W: Write> {
    output: BufWriter<W>,
    /// The generation of the cluster state in the last view.
    generation: Option<u64>,
    written: u64,
}

impl CaptureWriter<File> {
    /// Creates the file with mode 0600, and writes the configuration.
    ///
    /// # Errors
    ///
    /// Returns an error if the file can't be created or written.
    pub fn create(path: &Path, config: &PipelineConfig) -> Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
        let file = file.with_context(|| format!("cannot create {} (--capture)", path.display()))?;
        Self::new(file, config).with_context(|| format!("cannot write {} (--capture)", path.display()))
    }
}

impl<W: Write> CaptureWriter<W> {
    /// Creates a writer, and writes the configuration.
    ///
    /// # Errors
    ///
    /// Returns an error if the configuration can't be written.
    pub fn new(output: W, config: &PipelineConfig) -> Result<Self> {
        let mut this = Self { output: BufWriter::new(output), generation: None, written: 0 };
        this.line(&Header {
            netpol_capture: FORMAT,
            version: env!("CARGO_PKG_VERSION").into(),
            config: Cow::Borrowed(config),
        })?;
        Ok(this)
    }

    /// Writes an input.
    ///
    /// # Errors
    ///
    /// Returns an error if it can't be written, or if the capture has reached its maximum size (1 GiB).
    pub fn write(&mut self, input: &Input<'_>) -> Result<()> {
        let line = match input {
            Input::Record(bytes) => Line::Record(Bytes(Cow::Borrowed(bytes))),
            Input::Interface(change) => Line::Interface(Cow::Borrowed(change)),
            Input::View { view, at } => Line::View(self.view(view, *at)),
            Input::Counters { counts, at } => Line::Counters { counts: *counts, at: *at },
            Input::Conntrack { query, answer } => Line::Conntrack { query: *query, answer: *answer },
            Input::Tick { now, time } => Line::Tick { now: *now, time: *time },
            Input::Finish => Line::Finish,
        };
        self.line(&line)?;
        // A run that is killed then loses at most what came after the last tick.
        if matches!(input, Input::Tick { .. } | Input::Finish) {
            self.output.flush()?;
        }
        Ok(())
    }

    fn view(&mut self, view: &ClusterView, at: Monotonic) -> ViewLine {
        let snapshot = view.engine.snapshot();
        let generation = self.generation.replace(snapshot.generation());
        let changed = generation.and_then(|generation| snapshot.changed_since(generation));
        let (is_whole, references): (_, BTreeSet<_>) = match changed {
            Some(changed) => (false, changed.cloned().collect()),
            None => (true, snapshot.references().collect()),
        };
        let (mut apply, mut delete) = (Vec::new(), Vec::new());
        for reference in references {
            match snapshot.object(&reference) {
                Some(object) => apply.push(object),
                None => delete.push(reference),
            }
        }
        let mut unreadable: Vec<_> = snapshot.unreadable_namespaces().cloned().collect();
        unreadable.sort();
        ViewLine { at, sync: view.sync, is_whole, apply, delete, unreadable }
    }

    fn line(&mut self, line: &impl serde::Serialize) -> Result<()> {
        let mut text = serde_json::to_vec(line).context("an input as JSON")?;
        text.push(b'\n');
        self.written += u64::try_from(text.len()).unwrap_or(u64::MAX);
        if self.written > LIMIT {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the capture has reached 1 GiB").into());
        }
        Ok(self.output.write_all(&text)?)
    }
}
