//! Output that never panics: a closed pipe or a full disk is an error like any other, and nobody has to read the rest.

use std::{
    fmt,
    io::{self, Write as _},
};

use anstream::AutoStream;
use anyhow::{Context as _, Result};
use clap::ValueEnum;

/// How pairs of workloads are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PairFormat {
    Table,
    Csv,
    Json,
    Mermaid,
    Dot,
}

/// Writes to standard output, without colour where it is not wanted.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = AutoStream::auto(io::stdout().lock());
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("can't write to standard output")
}

/// Writes a line to standard error. Where that is closed, there is nobody to tell.
pub(crate) fn say(text: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
