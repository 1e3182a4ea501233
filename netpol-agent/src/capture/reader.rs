//! Reads captures.

use std::{collections::HashSet, io::BufRead, sync::Arc};

use super::{
    CaptureError,
    line::{Bytes, FORMAT, Header, Line, ViewLine},
};
use crate::{
    cluster::Index,
    pipeline::{Input, PipelineConfig},
    policy::{ClusterView, Compiler},
};

/// Reads a capture, and rebuilds the cluster states from the changes.
pub struct CaptureReader<R> {
    input: R,
    config: PipelineConfig,
    line: usize,
    index: Index,
    compiler: Compiler,
    has_state: bool,
}

impl<R: BufRead> CaptureReader<R> {
    /// Opens a capture and reads the configuration.
    ///
    /// # Errors
    ///
    /// Returns an error if the input can't be read, is not a capture, or is a capture of another format.
    pub fn new(mut input: R) -> Result<Self, CaptureError> {
        let mut text = String::new();
        input.read_line(&mut text)?;
        let header: Header<'_> =
            serde_json::from_str(&text).map_err(|error| CaptureError::NoHeader(error.to_string()))?;
        if header.netpol_capture != FORMAT {
            return Err(CaptureError::Format { found: header.netpol_capture, expected: FORMAT });
        }
        Ok(Self {
            input,
            config: header.config.into_owned(),
            line: 1,
            index: Index::new(),
            compiler: Compiler::new(),
            has_state: false,
        })
    }

    /// Returns the pipeline's configuration.
    #[must_use]
    pub fn config(&self) -> &PipelineConfig {
        &self.config
    }

    /// Passes the next input to `take`. Returns false at the end of the capture. An incomplete last line is ignored,
    /// because the run may have been killed.
    ///
    /// # Errors
    ///
    /// Returns an error if the input can't be read, or a line is not a valid input.
    pub fn next(&mut self, take: impl FnOnce(Input<'_>)) -> Result<bool, CaptureError> {
        let mut text = String::new();
        if self.input.read_line(&mut text)? == 0 || !text.ends_with('\n') {
            return Ok(false);
        }
        self.line += 1;
        let line: Line<'_> = serde_json::from_str(&text)
            .map_err(|error| CaptureError::Line { line: self.line, reason: error.to_string() })?;
        match line {
            Line::Record(Bytes(bytes)) => take(Input::Record(&bytes)),
            Line::Interface(change) => take(Input::Interface(change.into_owned())),
            Line::View(view) => {
                let at = view.at;
                take(Input::View { view: self.view(view), at });
            }
            Line::Counters { counts, at } => take(Input::Counters { counts, at }),
            Line::Conntrack { query, answer } => take(Input::Conntrack { query, answer }),
            Line::Tick { now, time } => take(Input::Tick { now, time }),
            Line::Finish => take(Input::Finish),
        }
        Ok(true)
    }

    fn view(&mut self, line: ViewLine) -> ClusterView {
        let ViewLine { at, sync, is_whole, apply, delete, unreadable } = line;
        // The objects that existed at the start have no start time.
        if self.has_state {
            self.index.set_time(at);
        }
        if is_whole {
            self.index.sync(apply);
        } else {
            delete.iter().for_each(|reference| self.index.delete(reference));
            apply.into_iter().for_each(|object| self.index.apply(object));
        }
        unreadable.iter().for_each(|namespace| self.index.hide_policy(namespace));
        self.index.retain_hidden(&unreadable.iter().collect::<HashSet<&Arc<str>>>());
        let snapshot = self.index.publish();
        self.has_state |= snapshot.generation() > 0;
        ClusterView { engine: self.compiler.update(&snapshot), sync }
    }
}
