//! What can be chosen about a run.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use crate::{
    cluster::watch::Credentials,
    flow::Limits,
    kernel::LoadOptions,
    sink::{Format, hubble::TlsFiles},
};

/// Everything that `netpol-agent run` takes.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the cluster's state comes from.
    pub source: SourceOptions,
    /// Lines on standard output; `None` for no lines.
    pub output: Option<Format>,
    /// Whether those are of findings alone, and not of connections.
    pub findings_only: bool,
    /// Where to serve metrics and health; `None` for nowhere.
    pub metrics: Option<SocketAddr>,
    /// Hubble's API; `None` for none.
    pub hubble: Option<HubbleOptions>,
    /// Whether to tell at the end what was seen.
    pub summary: bool,
    /// This node's name in the cluster, where it is known.
    pub node: Option<String>,
    /// Window before a connection in which policies and pods must not have changed its verdict.
    pub grace: Duration,
    /// How the programs are loaded.
    pub load: LoadOptions,
    /// What the connection table holds.
    pub limits: Limits,
}

/// How to serve Hubble's API.
#[derive(Clone, Debug)]
pub struct HubbleOptions {
    /// Where.
    pub address: SocketAddr,
    /// With which certificates; `None` for no TLS.
    pub tls: Option<TlsFiles>,
    /// Flows to keep for those who ask later.
    pub flows: usize,
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
    /// Whether findings are told as Events.
    pub events: bool,
}
