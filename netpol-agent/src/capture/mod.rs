//! Captures: writes the pipeline's inputs to a file and reads them back.
//!
//! A capture is text with one JSON object per line. The first line is the pipeline's configuration; every other line is
//! one input, in order. The pipeline is a pure function of its inputs, so replaying a capture gives the same flows and
//! findings as the original run.
//!
//! A line with cluster state contains only the objects that changed since the previous one, so that the capture of a
//! large cluster stays small. A capture contains names, labels and addresses of the cluster. It contains no packet
//! payload.

mod error;
mod line;
mod reader;
mod writer;

pub use error::CaptureError;
pub use reader::CaptureReader;
pub use writer::CaptureWriter;

#[cfg(test)]
mod tests;
