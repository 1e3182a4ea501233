//! `node`: a Kubernetes node to play with.

use std::{os::unix::process::CommandExt as _, path::PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Parser, Subcommand};
use netpol_testkit::node::{Cni, Node};

use crate::{setup, stage::Stages};

#[derive(Debug, Parser)]
pub(crate) struct NodeArgs {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Start a node, and leave it running
    Up {
        /// The plugin that wires the pods; neither enforces policies
        #[arg(long, value_enum, default_value_t)]
        cni: Cni,
        /// Take in the images of this archive, as `docker save` writes it; may be given several times
        #[arg(long, value_name = "FILE")]
        image: Vec<PathBuf>,
    },
    /// End the node; nothing of it is left
    Down,
    /// Show the node and its pods, and which of its daemons have failed
    Status,
    /// Run a command inside the node, where kubectl may do everything
    Exec {
        /// The program and its arguments, such as `kubectl get pods -A`
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

pub(crate) fn run(args: NodeArgs) -> Result<()> {
    let NodeArgs { task } = args;
    ensure!(nix::unistd::geteuid().is_root(), "a node needs root: it makes namespaces and control groups");
    match task {
        Task::Up { cni, image } => up(cni, &image),
        Task::Down => Node::that_stayed()?.down(),
        Task::Status => status(&Node::that_stayed()?),
        Task::Exec { command } => exec(&Node::that_stayed()?, &command),
    }
}

fn up(cni: Cni, images: &[PathBuf]) -> Result<()> {
    let stages = Stages::start();
    stages.run("set up", setup::run)?;
    stages.run("Kubernetes", || netpol_testkit::kubernetes::built().map(drop))?;
    let node = stages.run("start the node", || Node::up_to_stay(cni))?;
    for image in images {
        stages.run("take in an image", || node.import(image))?;
    }
    stages.done("the node is Ready:");
    println!("  export KUBECONFIG={}", node.kubeconfig().display());
    println!("  cargo xtask node exec -- kubectl get pods -A");
    println!("  cargo xtask node down");
    Ok(())
}

fn status(node: &Node) -> Result<()> {
    print!("{}", node.kubectl(&["get", "nodes,pods", "--all-namespaces", "--output", "wide"])?);
    match node.failures()?.as_slice() {
        [] => Ok(()),
        failures => bail!("{}", failures.join("\n")),
    }
}

/// Becomes the command.
fn exec(node: &Node, command: &[String]) -> Result<()> {
    let (program, args) = command.split_first().context("no command")?;
    let error = node.command(program).args(args).exec();
    Err(error).with_context(|| format!("starting {program}"))
}
