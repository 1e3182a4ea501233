//! Errors of captures.

use std::io;

use thiserror::Error;

/// Why a capture can't be read.
#[derive(Debug, Error)]
pub enum CaptureError {
    /// The file can't be read.
    #[error("cannot read the capture: {0}")]
    Io(#[from] io::Error),
    /// The file is empty, or its first line is not the header of a capture.
    #[error("this is no capture of netpol: its first line must be the pipeline's configuration ({0})")]
    NoHeader(String),
    /// The capture was written by another version of the format.
    #[error("the capture has format {found}, and this version of netpol reads format {expected}")]
    Format {
        /// The format of the capture.
        found: u32,
        /// The format that this version reads.
        expected: u32,
    },
    /// A line is not a valid input.
    #[error("line {line} of the capture is no input: {reason}")]
    Line {
        /// The line number, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}
