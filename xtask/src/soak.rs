//! `soak`: random clusters, enforcers and traffic, and the agent's verdicts compared with what really happened.

use std::{
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use netpol_testkit::soak::Soak;

use crate::{build, setup, stage::Stages};

#[derive(Debug, Parser)]
pub(crate) struct SoakArgs {
    /// How many rounds to run, of about 25 seconds each
    #[arg(long, default_value_t = 18)]
    rounds: u64,
    /// The seed of the first round; each following round has the next number. A round is run again by its own seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// About how many connections a round makes
    #[arg(long, default_value_t = Self::CONNECTIONS)]
    connections: usize,
    /// How many rounds to run at the same time
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Let pods also send hostile packets: forged ones, ones that die on the way, floods
    #[arg(long)]
    attacks: bool,
    /// Run this agent instead of building one
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
}

/// Rounds at the same time, and in all, that take about an hour on two cores. They wait most of the time.
const HOUR: (usize, u64) = (4, 480);

pub(crate) fn run(args: SoakArgs) -> Result<()> {
    let SoakArgs { rounds, seed, connections, jobs, attacks, agent } = args;
    ensure!(
        nix::unistd::geteuid().is_root(),
        "the soak makes network namespaces and loads eBPF programs: run this as root"
    );
    let stages = Stages::start();
    let agent = match agent {
        Some(agent) => agent.canonicalize().with_context(|| format!("the agent at {}", agent.display()))?,
        None => {
            stages.run("set up", setup::run)?;
            stages.run("build the agent", build::binaries)?;
            build::agent()
        }
    };
    let soak = Soak { agent, seed, rounds, connections, jobs, attacks };
    stages.run("rounds", || check(&soak))?;
    stages.done("no false alarm, and no leak missed");
    Ok(())
}

/// Rounds with new seeds each time, half of them with hostile pods.
pub(crate) fn for_an_hour() -> Result<()> {
    build::binaries()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    let (jobs, rounds) = HOUR;
    for attacks in [false, true] {
        let (agent, seed) = (build::agent(), now.as_secs());
        check(&Soak { agent, seed, rounds: rounds / 2, connections: SoakArgs::CONNECTIONS, jobs, attacks })?;
    }
    Ok(())
}

/// Runs the rounds and prints the report.
fn check(soak: &Soak) -> Result<()> {
    let report = soak.run(|summary| eprintln!("    {summary}"))?;
    println!("{report}");
    let wrong = report.wrong().count();
    let again = if soak.attacks { " --attacks" } else { "" };
    ensure!(
        wrong == 0,
        "{wrong} wrong verdicts, see above; `cargo xtask soak --rounds 1{again} --connections {} --seed N` runs one \
         round again",
        soak.connections
    );
    Ok(())
}

impl SoakArgs {
    const CONNECTIONS: usize = 300;
}
