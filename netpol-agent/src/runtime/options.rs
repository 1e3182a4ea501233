//! The options of an agent's run.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use crate::{
    cluster::watch::Credentials,
    flow::Limits,
    kernel::{Helper, LoadOptions},
    sink::SinkArgs,
};

/// The options of `netpol-agent run`.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the cluster's state comes from.
    pub source: SourceOptions,
    /// The sinks that receive the agent's output.
    pub sinks: SinkArgs,
    /// The address at which to serve metrics and health. `None` to serve neither.
    pub metrics: Option<SocketAddr>,
    /// A file to which all inputs of the pipeline are written. `None` to write none.
    pub capture: Option<PathBuf>,
    /// This node's name in the cluster, if it is known.
    pub node: Option<String>,
    /// The grace window before a connection. Changes of policies and pods in the window must not have changed the
    /// verdict.
    pub grace: Duration,
    /// How to enter the pods' network namespaces. `None` to watch the pods' interfaces from the node.
    pub namespaces: Option<NamespaceOptions>,
    /// How the eBPF programs are loaded.
    pub load: LoadOptions,
    /// The limits of the connection table.
    pub limits: Limits,
}

/// How to enter the pods' network namespaces.
#[derive(Clone, Debug)]
pub struct NamespaceOptions {
    /// The process that enters them.
    pub helper: Arc<Helper>,
    /// Folders in which each file is a network namespace.
    pub folders: Vec<PathBuf>,
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
    /// The server and the credentials.
    pub credentials: Credentials,
    /// How old a kind's objects may be before verdicts that depend on them become undecidable.
    pub stale_after: Duration,
    /// How often to check whether the server now serves a kind that it did not serve before.
    pub rediscovery_interval: Duration,
}
