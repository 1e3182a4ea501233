//! `build`: the release binaries.

use anyhow::Result;

use crate::{setup, tool};

/// Where [`run`] leaves the agent.
pub(crate) const AGENT: &str = "target/release/netpol-agent";

pub(crate) fn run() -> Result<()> {
    setup::run()?;
    binaries()
}

/// Builds the two binaries, without any set-up.
pub(crate) fn binaries() -> Result<()> {
    tool::run(tool::cargo().args(["build", "--release", "--package", "netpol-agent", "--bins"]))
}
