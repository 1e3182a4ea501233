//! `cargo cyclonedx`, which lists what a release is made of.

use anyhow::Result;

use super::{found, missing};
use crate::tool;

const VERSION: &str = "0.5.9";

/// Builds it where there is none.
///
/// # Errors
/// Cargo can't build it: its own words are on the terminal.
pub(super) fn install() -> Result<()> {
    if tool::find("cargo-cyclonedx").is_some() {
        found("cargo-cyclonedx", "on PATH");
        return Ok(());
    }
    missing(
        "cargo-cyclonedx",
        "lists the parts of a release; it is built from source, which takes a minute or two",
    );
    tool::run(
        tool::cargo()
            .args(["install", "cargo-cyclonedx", "--version", VERSION, "--locked", "--profile", "dev"])
            .env("CARGO_PROFILE_DEV_DEBUG", "0"),
    )
}
