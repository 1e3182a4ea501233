//! `image`: the agent's image, for people and for tests.

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use netpol_testkit::image;

use crate::{build, setup, stage::Stages};

#[derive(Debug, Parser)]
pub(crate) struct ImageArgs {
    /// Where to write the archive [default: target/image/netpol-agent.tar]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(args: ImageArgs) -> Result<()> {
    let ImageArgs { output } = args;
    let archive = output.unwrap_or_else(|| image::folder().join("netpol-agent.tar"));
    let stages = Stages::start();
    stages.run("set up", setup::run)?;
    let agent = stages.run("build the static agent", || build::static_agent(build::Profile::Release))?;
    stages.run("pack it", || image::pack(&agent, &archive))?;
    stages.done(&format!("{} is in {}", image::NAME, archive.display()));
    Ok(())
}

/// The image that tests look at: the same, from a build that is quicker.
pub(crate) fn for_tests() -> Result<()> {
    image::pack(&build::static_agent(build::Profile::Dev)?, &image::of_tests())
}
