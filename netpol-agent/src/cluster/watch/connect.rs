//! Which API server, and as whom.

use std::path::PathBuf;

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use super::watch_error::chain;

/// Where to learn which API server, and as whom.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// A kubeconfig file.
    pub kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig, instead of its current one.
    pub context: Option<String>,
}

/// No API server can be named.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A kubeconfig can't be used.
    #[error(
        "can't use {file}: {cause} (name another by --kubeconfig, or take the cluster's state from files, --manifests)"
    )]
    Kubeconfig {
        /// Which.
        file: String,
        /// Why.
        cause: String,
    },
    /// The pod's own credentials can't be used.
    #[error("can't use the pod's ServiceAccount: {0}")]
    InCluster(String),
    /// The client can't be made.
    #[error("can't set up the Kubernetes client: {0}")]
    Client(String),
}

/// A client, which has sent nothing yet. A pod uses its ServiceAccount, unless told otherwise; all others, the kubeconfig
/// that `kubectl` would use.
///
/// # Errors
///
/// What should name the API server can't be read.
pub async fn connect(credentials: &Credentials) -> Result<Client, ConnectError> {
    let in_pod = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    let told = credentials.kubeconfig.is_some() || credentials.context.is_some();
    let mut config = if in_pod && !told {
        Config::incluster().map_err(|error| ConnectError::InCluster(chain(&error)))?
    } else {
        from_kubeconfig(credentials).await?
    };
    // Waiting is the watchers' business: they know what is urgent, and say what is wrong.
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
