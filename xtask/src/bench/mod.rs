//! `bench`: what the agent costs, measured on the packets of a lab and told as tables with ratios.
//!
//! A further benchmark is a module with a `run`, and a line in [`Bench`].

mod cluster;
mod connections;
mod latency;
mod memory;
mod stream;
mod subject;
mod table;
mod throughput;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};

use crate::{build, setup, stage::Stages, tool};

#[derive(Debug, Parser)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    bench: Option<Bench>,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// CPU time for each TCP connect-request-close between two pods, agent off and on
    Connections(connections::ConnectionsArgs),
    /// Bits per second through one TCP connection between two pods, agent off and on
    Throughput(throughput::ThroughputArgs),
    /// Resident memory of the agent after many connections among many pods
    Memory(memory::MemoryArgs),
    /// Time from a pod's interface to the programs on it
    Attach,
    /// Nanoseconds for each run of the TC programs, against a program that does nothing
    Programs,
    /// Records a second from bytes to verdict, on one core
    Pipeline,
    /// How fast policies compile and judge, and what they take of memory
    Policy,
    /// A large cluster: memory, first sync, CPU time, and how soon a change counts in verdicts
    Cluster(cluster::ClusterArgs),
    /// Time from a connection that should not be to the finding in /metrics
    Latency(latency::LatencyArgs),
}

/// Runs one benchmark, or all of them with their defaults.
pub(crate) fn run(args: BenchArgs) -> Result<()> {
    let BenchArgs { bench } = args;
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
            Bench::Cluster(Parser::parse_from([""])),
            Bench::Latency(Parser::parse_from([""])),
            Bench::Attach,
            Bench::Programs,
            Bench::Pipeline,
            Bench::Policy,
        ],
    };
    for bench in benches {
        match bench {
            Bench::Connections(args) => stages.run("connections", || connections::run(&args))?,
            Bench::Throughput(args) => stages.run("throughput", || throughput::run(&args))?,
            Bench::Memory(args) => stages.run("memory", || memory::run(&args))?,
            Bench::Cluster(args) => stages.run("cluster", || cluster::run(&args))?,
            Bench::Latency(args) => stages.run("latency", || latency::run(&args))?,
            Bench::Attach => stages.run("attach", || harness("attach"))?,
            Bench::Programs => stages.run("programs", || harness("programs"))?,
            Bench::Pipeline => stages.run("pipeline", || harness("pipeline"))?,
            Bench::Policy => stages.run("policy", || harness("policy"))?,
        }
    }
    stages.done("measured");
    Ok(())
}

/// Runs one of the agent's own benchmarks, which print their tables themselves.
fn harness(name: &str) -> Result<()> {
    tool::run_shown(tool::cargo().args(["bench", "--package", "netpol-agent", "--bench", name]))
}
