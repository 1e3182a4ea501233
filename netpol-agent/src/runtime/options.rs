//! What can be chosen about a run.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use crate::{flow::Limits, kernel::LoadOptions, sink::Format};

/// Everything that `netpol-agent run` takes.
#[derive(Clone, Debug)]
pub struct Options {
    /// Files and folders of Kubernetes YAML.
    pub manifests: Vec<PathBuf>,
    /// Lines on standard output; `None` for no lines.
    pub output: Option<Format>,
    /// Where to serve metrics and health; `None` for nowhere.
    pub metrics: Option<SocketAddr>,
    /// Whether to tell at the end what was seen.
    pub summary: bool,
    /// Window before a connection in which policies and pods must not have changed its verdict.
    pub grace: Duration,
    /// How the programs are loaded.
    pub load: LoadOptions,
    /// What the connection table holds.
    pub limits: Limits,
}
