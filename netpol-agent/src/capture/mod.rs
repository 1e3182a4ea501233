//! The pipeline's inputs, to a file and back.
//!
//! A capture is text, one JSON object a line: first the pipeline's configuration, then every input in order. Since the
//! pipeline is a function of its inputs, a capture replayed gives the same flows and findings as the run that it was taken
//! from. Of the cluster's state a line has the objects that changed since the one before, so that a capture of a large
//! cluster stays small. It holds names, labels and addresses of the cluster, and no payload of any packet.

mod error;
mod line;
mod reader;
mod writer;

pub use error::CaptureError;
pub use reader::CaptureReader;
pub use writer::CaptureWriter;

#[cfg(test)]
mod tests;
