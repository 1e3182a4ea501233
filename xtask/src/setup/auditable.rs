//! `cargo auditable`, which puts the list of all dependencies into a binary.

use anyhow::Result;

use super::{found, missing};
use crate::tool;

const VERSION: &str = "0.7.7";

/// Builds it where there is none.
pub(super) fn install() -> Result<()> {
    if tool::find("cargo-auditable").is_some() {
        found("cargo-auditable", "on PATH");
        return Ok(());
    }
    missing("cargo-auditable", "tells in the agent what it was built of; it is built from source");
    tool::run(tool::cargo().args(["install", "cargo-auditable", "--version", VERSION, "--locked"]))
}
