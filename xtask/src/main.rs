//! `cargo xtask …`: netpol's development tasks.

mod bench;
mod build;
mod deny;
mod docs;
mod fuzz;
mod keep;
mod needs;
mod pack;
mod release;
mod serve;
mod setup;
mod show;
mod stage;
mod test;
mod tidy;
mod tool;
mod vm;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::{helm::Helm, manifest};

/// netpol's development tasks
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what building, testing and the demo need; what is there already stays as it is
    Setup,
    /// Build the release binaries
    Build(build::Args),
    /// Build the agent's container image
    Image(pack::Args),
    /// Make everything that a release needs, in one folder
    Release(release::Args),
    /// Write the manifests that the chart renders to
    Render,
    /// Prove policies on a small cluster of network namespaces, with real packets
    Demo(show::Args),
    /// Run a real API server (kube-apiserver and etcd) until interrupted; build it first where there is none
    Apiserver,
    /// A real Kubernetes node in namespaces of its own: up, down, and what is between
    Node(keep::Args),
    /// Everything that decides on a change: set up, tidy, format, lints and all tests (as root)
    Test(test::Args),
    /// `test`, and then what takes longer: the kernel tests on an older kernel, and fuzzing with a time limit
    Ci,
    /// Check the tree's own rules: layers, the home of unsafe code, the form of files
    Tidy,
    /// Run a command in a virtual machine with Debian's stable kernel, on this machine's files
    Vm(VmArgs),
    /// Measure; prints tables with ratios
    Bench(bench::Args),
}

#[derive(Debug, Parser)]
struct VmArgs {
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

fn main() -> ExitCode {
    let Args { task } = Args::parse();
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
        Task::Image(args) => pack::run(args),
        Task::Release(args) => release::run(args),
        Task::Render => manifest::write(&Helm::find_or_fetch()?),
        Task::Demo(args) => show::run(args),
        Task::Apiserver => serve::run(),
        Task::Node(args) => keep::run(args),
        Task::Test(args) => test::run(&args),
        Task::Ci => test::ci(),
        Task::Tidy => tidy::run(),
        Task::Vm(VmArgs { command }) => {
            setup::virtual_machine()?;
            vm::run(&vm::Kernel::stable()?, &command)
        }
        Task::Bench(args) => bench::run(args),
    }
}
