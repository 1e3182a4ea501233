//! What can be wrong with a capture.

use std::io;

use thiserror::Error;

/// Why a capture can't be read.
#[derive(Debug, Error)]
pub enum CaptureError {
    /// The file can't be read.
    #[error("cannot read the capture: {0}")]
    Io(#[from] io::Error),
    /// The file is empty, or does not begin as a capture does.
    #[error("this is no capture of netpol: its first line must be the pipeline's configuration ({0})")]
    NoHeader(String),
    /// The capture was written by another version of the format.
    #[error("the capture has format {found}, and this version of netpol reads format {expected}")]
    Format {
        /// The capture's.
        found: u32,
        /// This version's.
        expected: u32,
    },
    /// A line is no input.
    #[error("line {line} of the capture is no input: {reason}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}
