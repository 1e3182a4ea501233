//! `build`: the release binaries.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use clap::Parser;
use netpol_testkit::image;

use crate::{setup, tool};

#[derive(Debug, Parser)]
pub(crate) struct BuildArgs {
    /// Build the agent as one static file with the list of its dependencies in it, as the image has it, and nothing else
    #[arg(long = "static")]
    is_static: bool,
}

/// How thorough a build is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Profile {
    /// For use.
    Release,
    /// For tests.
    Dev,
}

pub(crate) fn run(args: &BuildArgs) -> Result<()> {
    let BuildArgs { is_static } = args;
    if *is_static {
        setup::building()?;
        return static_agent(Profile::Release).map(drop);
    }
    setup::run()?;
    binaries()
}

/// Builds the two binaries, without any set-up.
pub(crate) fn binaries() -> Result<()> {
    tool::run(tool::cargo().args(["build", "--release", "--package", "netpol-agent", "--bins"]))
}

/// Builds the agent that goes into the image, without any set-up; returns where it is. It needs no library and no loader,
/// and has in it what it was built of (`cargo auditable`).
pub(crate) fn static_agent(profile: Profile) -> Result<PathBuf> {
    let (folder, name) = match profile {
        Profile::Release => ("release", "netpol-agent"),
        Profile::Dev => ("debug", "netpol-agent-dev"),
    };
    let mut cargo = tool::cargo();
    cargo.args(["auditable", "rustc", "--package", "netpol-agent", "--bin", "netpol-agent"]);
    if let Profile::Release = profile {
        cargo.arg("--release");
    }
    // What is stripped is for debuggers; a panic still tells its line.
    tool::run(cargo.args(["--", "-C", "target-feature=+crt-static", "-C", "strip=debuginfo"]))?;
    let built = tool::target().join(folder).join("netpol-agent");
    let kept = image::folder().join(name);
    fs::create_dir_all(image::folder()).context("making the folder for the image")?;
    // Cargo may put another build in its place later on.
    fs::copy(&built, &kept).with_context(|| format!("copying {} to {}", built.display(), kept.display()))?;
    Ok(kept)
}

/// Where [`binaries`] leaves the agent.
pub(crate) fn agent() -> PathBuf {
    tool::target().join("release/netpol-agent")
}
