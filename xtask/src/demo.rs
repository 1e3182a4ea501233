//! `demo`: the library's demo, with all that it needs, for people to watch.

use std::{
    fs,
    path::PathBuf,
    process,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use netpol_testkit::demo::{self, DemoCluster, Output};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::{build, setup, stage::Stages};

#[derive(Debug, Parser)]
pub(crate) struct DemoArgs {
    /// Run this agent instead of building one
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// Print what the agent prints as JSON lines, and nothing else
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: DemoArgs) -> Result<()> {
    let DemoArgs { agent, json } = args;
    ensure!(
        nix::unistd::geteuid().is_root(),
        "the demo makes network namespaces and loads eBPF programs: run this as root"
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
    let folders = Arc::default();
    clean_up_on_signals(Arc::clone(&folders))?;
    let cluster = stages.run("make the cluster", || {
        // A signal waits until it is known what to remove.
        let mut folders = folders.lock().unwrap_or_else(PoisonError::into_inner);
        let cluster = DemoCluster::new()?;
        folders.extend([cluster.manifests().to_owned(), cluster.lab().netns_dir().to_owned()]);
        Ok(cluster)
    })?;
    let output = if json { Output::Json } else { Output::Compact };
    let printed = stages.run("run the agent on its traffic", || demo::run(&cluster, &agent, output))?;
    if json {
        print!("{printed}");
    }
    drop(cluster);
    stages.done("the cluster is gone, nothing is left behind");
    Ok(())
}

/// The kernel takes the namespaces and the agent along with this process; only these folders are on disk.
fn clean_up_on_signals(folders: Arc<Mutex<Vec<PathBuf>>>) -> Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).context("waiting for signals")?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            for folder in folders.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
                // It may be gone already.
                let _ = fs::remove_dir_all(folder);
            }
            eprintln!("interrupted; the cluster is gone, nothing is left behind");
            process::exit(128 + signal);
        }
    });
    Ok(())
}
