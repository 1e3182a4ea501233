//! What can be chosen about a run.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use crate::{cluster::watch::Credentials, flow::Limits, kernel::LoadOptions, sink::SinkArgs};

/// Everything that `netpol-agent run` takes.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the cluster's state comes from.
    pub source: SourceOptions,
    /// Who is told.
    pub sinks: SinkArgs,
    /// Where to serve metrics and health; `None` for nowhere.
    pub metrics: Option<SocketAddr>,
    /// A file to write all inputs of the pipeline to; `None` for none.
    pub capture: Option<PathBuf>,
    /// This node's name in the cluster, where it is known.
    pub node: Option<String>,
    /// Window before a connection in which policies and pods must not have changed its verdict.
    pub grace: Duration,
    /// How the programs are loaded.
    pub load: LoadOptions,
    /// What the connection table holds.
    pub limits: Limits,
}

/// Where the cluster's state comes from.
#[derive(Clone, Debug)]
pub enum SourceOptions {
    /// Files and folders of Kubernetes YAML.
    Manifests(Vec<PathBuf>),
    /// The Kubernetes API.
    Api(ApiOptions),
}

/// How to watch the Kubernetes API.
#[derive(Clone, Debug)]
pub struct ApiOptions {
    /// Which server, and as whom.
    pub credentials: Credentials,
    /// How old knowledge may be that verdicts rest on.
    pub stale_after: Duration,
    /// How often to look for kinds that the server did not have.
    pub rediscovery_interval: Duration,
}
