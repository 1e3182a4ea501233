//! `networks`: the agent beside real network plugins.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Parser, ValueEnum as _};
use netpol_testkit::{
    cluster::{Cluster, Options, Plugin, Proxy, Uplink},
    image, networks,
};

use crate::{image as images, setup, stage::Stages, tool};

#[derive(Debug, Parser)]
pub(crate) struct NetworksArgs {
    /// Which plugins; all, if none is named
    #[arg(value_enum)]
    plugins: Vec<Plugin>,
    /// The number of nodes
    #[arg(long, default_value_t = 2)]
    nodes: usize,
    /// The kind of the nodes' uplinks
    #[arg(long, value_enum, default_value_t)]
    uplink: Uplink,
    /// Who serves Services
    #[arg(long, value_enum, default_value_t)]
    proxy: Proxy,
    /// Take this image of the agent, and build none
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
}

pub(crate) fn run(args: NetworksArgs) -> Result<()> {
    let NetworksArgs { mut plugins, nodes, uplink, proxy, image } = args;
    ensure!(nix::unistd::geteuid().is_root(), "a cluster needs root: it makes namespaces and control groups");
    if plugins.is_empty() {
        plugins = Plugin::value_variants().to_vec();
    }
    let stages = Stages::start();
    stages.run("set up", || setup::networks(&plugins))?;
    for plugin in &plugins {
        stages.run(&format!("build for {plugin:?}"), || Cluster::prepare(*plugin))?;
    }
    let image = match image {
        Some(image) => image,
        None => stages.run("an image", images::for_tests).map(|()| image::of_tests())?,
    };
    let mut wrong = Vec::new();
    for plugin in plugins {
        let name = format!("{plugin:?}");
        let options = Options { nodes, plugin, uplink, proxy };
        // A plugin that can't be started is no reason to leave out the others.
        match stages.run(&name, || play(options, &image)) {
            Ok(true) => {}
            Ok(false) => wrong.push(name),
            Err(error) => {
                eprintln!("error: {error:#}");
                wrong.push(name);
            }
        }
    }
    if !wrong.is_empty() {
        bail!("not right beside {}: see the tables", wrong.join(", "));
    }
    stages.done("no false alarm, no missed leak");
    Ok(())
}

/// Plays the story, prints its table, and writes down the details. Returns true if all is right.
fn play(options: Options, image: &Path) -> Result<bool> {
    let table = networks::play(options, image)?;
    let folder = tool::target().join("networks");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let Options { plugin, uplink, proxy, .. } = options;
    let details = folder.join(format!("{plugin:?}-{uplink:?}-{proxy:?}.tsv").to_lowercase());
    fs::write(&details, table.details()).with_context(|| format!("writing {}", details.display()))?;
    println!("{table}each line: {}\n", details.display());
    Ok(table.is_right())
}
