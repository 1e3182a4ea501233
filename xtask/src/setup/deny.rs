//! `cargo deny`, which checks the crates that netpol is built of.

use anyhow::Result;

use super::{found, missing};
use crate::tool;

const VERSION: &str = "0.20.2";

/// Builds it where there is none.
///
/// # Errors
/// Cargo can't build it: its own words are on the terminal.
pub(super) fn install() -> Result<()> {
    if tool::find("cargo-deny").is_some() {
        found("cargo-deny", "on PATH");
        return Ok(());
    }
    missing(
        "cargo-deny",
        "checks licences and advisories; it is built from source, which takes a minute or two",
    );
    // Unoptimised, it is built in less than half of the time, and still checks in two seconds.
    tool::run(
        tool::cargo()
            .args(["install", "cargo-deny", "--version", VERSION, "--locked", "--profile", "dev"])
            .env("CARGO_PROFILE_DEV_DEBUG", "0"),
    )
}
