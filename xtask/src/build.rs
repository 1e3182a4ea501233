//! `build`: the release binaries.

use std::{env, path::PathBuf};

use anyhow::Result;

use crate::{setup, tool};

pub(crate) fn run() -> Result<()> {
    setup::run()?;
    binaries()
}

/// Builds the two binaries, without any set-up.
pub(crate) fn binaries() -> Result<()> {
    tool::run(tool::cargo().args(["build", "--release", "--package", "netpol-agent", "--bins"]))
}

/// Where [`binaries`] leaves the agent.
pub(crate) fn agent() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| tool::root().join("target"), PathBuf::from);
    target.join("release/netpol-agent")
}
