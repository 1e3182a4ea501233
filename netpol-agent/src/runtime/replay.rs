//! Replays a captured run: feeds the recorded inputs to a pipeline again.
//!
//! The outputs are the same as in the captured run.

use std::io::BufRead;

use anyhow::Result;
use tokio::task::JoinSet;

use super::sinks::Sinks;
use crate::{
    capture::CaptureReader,
    pipeline::Pipeline,
    sink::{SinkArgs, SinkContext, lines::LineArgs, metrics::Metrics},
};

/// Feeds the inputs of a capture to a pipeline, and prints its outputs.
///
/// # Errors
///
/// The capture can't be read, or writing to standard output failed.
pub async fn replay(capture: impl BufRead, lines: LineArgs) -> Result<()> {
    let mut reader = CaptureReader::new(capture)?;
    let args = SinkArgs { lines, ..SinkArgs::default() };
    let context = SinkContext { node: None, api: None, metrics: Metrics::default() };
    let (mut sinks, handles) = Sinks::open(args, &context, &mut JoinSet::new()).await?;
    let mut pipeline = Pipeline::new(reader.config().clone());
    // The conntrack queries and their answers are in the capture.
    while reader.next(|input| pipeline.step(input, &mut |mut output| sinks.take(&mut output)))? {}
    drop(sinks);
    handles.end().await
}
