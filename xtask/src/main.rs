//! `cargo xtask …`: netpol's development tasks.

mod apiserver;
mod bench;
mod build;
mod cluster;
mod demo;
mod deny;
mod docs;
mod fuzz;
mod image;
mod networks;
mod prerequisites;
mod release;
mod setup;
mod soak;
mod stage;
mod test;
mod tidy;
mod tool;
mod vm;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use netpol_testkit::{helm::Helm, manifest};

/// netpol's development tasks
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    /// Show all that Cargo and other tools print, and not only where they fail
    #[arg(long, short, global = true)]
    verbose: bool,
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what building, testing and the demo need; what is there already stays as it is
    Setup,
    /// Build the release binaries
    Build(build::BuildArgs),
    /// Build the agent's container image
    Image(image::ImageArgs),
    /// Make everything that a release needs, in one folder
    Release(release::ReleaseArgs),
    /// Write the manifests that the chart renders to
    Render,
    /// Prove policies on a small cluster of network namespaces, with real packets
    Demo(demo::DemoArgs),
    /// Run a real API server (kube-apiserver and etcd) until interrupted; build it first where there is none
    Apiserver,
    /// A real Kubernetes cluster in namespaces of its own: up, down, and what is between
    Cluster(cluster::ClusterTaskArgs),
    /// Run the agent beside real network plugins, and compare what it says with the packets that arrived (as root)
    Networks(networks::NetworksArgs),
    /// Everything that decides on a change: set up, tidy, format, lints and all tests (as root)
    Test(test::TestArgs),
    /// `test`, and then what takes longer: the kernel tests on an older kernel, fuzzing with a time limit, and an hour's
    /// soak
    Ci,
    /// Random clusters, enforcers and traffic: the agent's verdicts compared with what really happened (as root)
    Soak(soak::SoakArgs),
    /// Check the tree's own rules: layers, the home of unsafe code, the form of files
    Tidy,
    /// Run a command in a virtual machine with Debian's stable kernel, on this machine's files
    Vm(VmArgs),
    /// Measure; prints tables with ratios
    Bench(bench::BenchArgs),
}

#[derive(Debug, Parser)]
struct VmArgs {
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

fn main() -> ExitCode {
    let Args { verbose, task } = Args::parse();
    if verbose {
        tool::be_verbose();
    }
    match run(task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Setup => setup::run(),
        Task::Build(args) => build::run(&args),
        Task::Image(args) => image::run(args),
        Task::Release(args) => release::run(args),
        Task::Render => manifest::write(&Helm::find_or_fetch()?),
        Task::Demo(args) => demo::run(args),
        Task::Apiserver => apiserver::run(),
        Task::Cluster(args) => cluster::run(args),
        Task::Networks(args) => networks::run(args),
        Task::Test(args) => test::run(&args),
        Task::Ci => test::ci(),
        Task::Soak(args) => soak::run(args),
        Task::Tidy => tidy::run(),
        Task::Vm(VmArgs { command }) => {
            setup::virtual_machine()?;
            vm::run(&vm::Kernel::stable()?, &command)
        }
        Task::Bench(args) => bench::run(args),
    }
}
