//! Connects to the API server: reads the kubeconfig or the pod's ServiceAccount, and creates the client.
//!
//! The client neither retries nor times out by itself. The watchers do that.

use std::path::PathBuf;

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use super::watch_error::chain;

/// Where to find the API server's address and the client's credentials.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// A kubeconfig file.
    pub kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig, instead of its current context.
    pub context: Option<String>,
}

/// Why the client can't be created.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A kubeconfig can't be used.
    #[error(
        "can't use {file}: {cause} (set another file with --kubeconfig, or read the cluster's state from files with --manifests)"
    )]
    Kubeconfig {
        /// The file.
        file: String,
        /// The cause.
        cause: String,
    },
    /// The pod's own credentials can't be used.
    #[error("can't use the pod's ServiceAccount: {0}")]
    InCluster(String),
    /// The client can't be created.
    #[error("can't set up the Kubernetes client: {0}")]
    Client(String),
}

/// Creates a client. This sends no request.
///
/// In a pod, the client uses the pod's ServiceAccount unless `credentials` names a kubeconfig or a context. Elsewhere
/// it uses the kubeconfig that `kubectl` would use.
///
/// # Errors
///
/// The kubeconfig or the ServiceAccount can't be read.
pub async fn connect(credentials: &Credentials) -> Result<Client, ConnectError> {
    let in_pod = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    let is_configured = credentials.kubeconfig.is_some() || credentials.context.is_some();
    let mut config = if in_pod && !is_configured {
        Config::incluster().map_err(|error| ConnectError::InCluster(chain(&error)))?
    } else {
        from_kubeconfig(credentials).await?
    };
    // The watchers retry and time out by themselves: they know what is urgent, and they report errors.
    config.default_retry = false;
    config.read_timeout = None;
    Client::try_from(config).map_err(|error| ConnectError::Client(chain(&error)))
}

async fn from_kubeconfig(credentials: &Credentials) -> Result<Config, ConnectError> {
    let options = KubeConfigOptions { context: credentials.context.clone(), ..KubeConfigOptions::default() };
    let (file, config) = match &credentials.kubeconfig {
        Some(path) => {
            let config = match Kubeconfig::read_from(path) {
                Ok(kubeconfig) => Config::from_custom_kubeconfig(kubeconfig, &options).await,
                Err(error) => Err(error),
            };
            (path.display().to_string(), config)
        }
        None => (
            "the kubeconfig ($KUBECONFIG, or ~/.kube/config)".to_owned(),
            Config::from_kubeconfig(&options).await,
        ),
    };
    config.map_err(|error| ConnectError::Kubeconfig { file, cause: chain(&error) })
}
