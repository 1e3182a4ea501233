//! `cluster`: a Kubernetes cluster to play with.

use std::{os::unix::process::CommandExt as _, path::PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Parser, Subcommand};
use netpol_testkit::cluster::{Cluster, Options, Plugin, Proxy, Uplink};

use crate::{setup, stage::Stages};

#[derive(Debug, Parser)]
pub(crate) struct ClusterTaskArgs {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Start a cluster, and leave it running
    Up {
        /// The number of nodes
        #[arg(long, default_value_t = 2)]
        nodes: usize,
        /// Who connects the pods, and enforces policies
        #[arg(long, value_enum, default_value_t)]
        plugin: Plugin,
        /// The kind of the nodes' uplinks
        #[arg(long, value_enum, default_value_t)]
        uplink: Uplink,
        /// Who serves Services
        #[arg(long, value_enum, default_value_t)]
        proxy: Proxy,
        /// Take in the images of this archive, as `docker save` writes it; may be given several times
        #[arg(long, value_name = "FILE")]
        image: Vec<PathBuf>,
    },
    /// End the cluster; nothing of it is left
    Down,
    /// Show the nodes and pods, and which daemons have failed
    Status,
    /// Run a command inside a node, where kubectl may do everything
    Exec {
        /// Which node
        #[arg(long, default_value_t = 1)]
        node: usize,
        /// The program and its arguments, such as `kubectl get pods -A`
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

pub(crate) fn run(args: ClusterTaskArgs) -> Result<()> {
    let ClusterTaskArgs { task } = args;
    ensure!(nix::unistd::geteuid().is_root(), "a cluster needs root: it makes namespaces and control groups");
    match task {
        Task::Up { nodes, plugin, uplink, proxy, image } => {
            up(Options { nodes, plugin, uplink, proxy }, &image)
        }
        Task::Down => Cluster::that_stayed()?.down(),
        Task::Status => status(&Cluster::that_stayed()?),
        Task::Exec { node, command } => exec(&Cluster::that_stayed()?, node, &command),
    }
}

fn up(options: Options, images: &[PathBuf]) -> Result<()> {
    let stages = Stages::start();
    stages.run("set up", || setup::networks(&[options.plugin]))?;
    stages.run("Kubernetes and the plugin", || Cluster::prepare(options.plugin))?;
    let cluster = stages.run("start the cluster", || Cluster::up_to_stay(options))?;
    for image in images {
        stages.run("take in an image", || cluster.import(image))?;
    }
    stages.done("all nodes are Ready:");
    println!("  export KUBECONFIG={}", cluster.kubeconfig().display());
    println!("  cargo xtask cluster exec -- kubectl get pods -A");
    println!("  cargo xtask cluster down");
    Ok(())
}

fn status(cluster: &Cluster) -> Result<()> {
    print!("{}", cluster.kubectl(&["get", "nodes,pods", "--all-namespaces", "--output", "wide"])?);
    match cluster.failures()?.as_slice() {
        [] => Ok(()),
        failures => bail!("{}", failures.join("\n")),
    }
}

/// Becomes the command.
fn exec(cluster: &Cluster, node: usize, command: &[String]) -> Result<()> {
    let (program, args) = command.split_first().context("no command")?;
    let node = node.checked_sub(1).and_then(|index| cluster.nodes().get(index));
    let node = node.with_context(|| format!("there are {} nodes", cluster.nodes().len()))?;
    let error = node.command(program).args(args).exec();
    Err(error).with_context(|| format!("starting {program}"))
}
