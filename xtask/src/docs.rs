//! The documentation of the code, by rustdoc: a link that leads nowhere is an error.

use anyhow::Result;

use crate::tool;

/// Builds it, without that of other crates.
///
/// # Errors
/// rustdoc warns of something; its words are on the terminal.
pub(crate) fn run() -> Result<()> {
    let deny = "--deny warnings";
    tool::run(tool::cargo().args(["doc", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", deny))
}
