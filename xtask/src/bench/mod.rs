//! `bench`: what the agent costs, measured on the packets of a lab and told as tables with ratios.
//!
//! A further benchmark is a module with a `run`, and a line in [`Bench`].

mod connections;
mod latency;
mod memory;
mod subject;
mod table;
mod throughput;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};

use crate::{build, setup, stage::Stages};

#[derive(Debug, Parser)]
pub(crate) struct Args {
    #[command(subcommand)]
    bench: Option<Bench>,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// CPU time for each TCP connect-request-close between two pods, agent off and on
    Connections(connections::Args),
    /// Bits per second through one TCP connection between two pods, agent off and on
    Throughput(throughput::Args),
    /// Resident memory of the agent after many connections among many pods
    Memory(memory::Args),
    /// Time from a connection that should not be to the finding in /metrics
    Latency(latency::Args),
}

/// Runs one benchmark, or all of them with their defaults.
pub(crate) fn run(args: Args) -> Result<()> {
    let Args { bench } = args;
    ensure!(nix::unistd::geteuid().is_root(), "benchmarks run in network namespaces: run this as root");
    let stages = Stages::start();
    stages.run("set up", setup::run)?;
    stages.run("build the agent", build::binaries)?;
    let benches = match bench {
        Some(bench) => vec![bench],
        None => vec![
            Bench::Connections(Parser::parse_from([""])),
            Bench::Throughput(Parser::parse_from([""])),
            Bench::Memory(Parser::parse_from([""])),
            Bench::Latency(Parser::parse_from([""])),
        ],
    };
    for bench in benches {
        match bench {
            Bench::Connections(args) => stages.run("connections", || connections::run(&args))?,
            Bench::Throughput(args) => stages.run("throughput", || throughput::run(&args))?,
            Bench::Memory(args) => stages.run("memory", || memory::run(&args))?,
            Bench::Latency(args) => stages.run("latency", || latency::run(&args))?,
        }
    }
    stages.done("measured");
    Ok(())
}
