//! Opens the source of the cluster's state: manifest files or the Kubernetes API. Both publish views in the same way.

use std::{pin::Pin, time::Duration};

use anyhow::Result;
use tokio::sync::watch;

use super::{cluster::Cluster, manifests::ManifestSource, options::SourceOptions};
use crate::{policy::ClusterView, sink::metrics::Metrics};

/// A source of cluster state that has been opened.
pub(super) struct ClusterSource {
    /// The current view, and every later one.
    pub(super) views: watch::Receiver<ClusterView>,
    /// The task that publishes the views. The caller must spawn it.
    pub(super) follow: Pin<Box<dyn Future<Output = Result<()>> + Send>>,
    /// How old a kind's objects may be before verdicts that depend on them become undecidable.
    pub(super) stale_after: Duration,
}

/// Opens a source.
///
/// # Errors
///
/// The files can't be read, or the API server's address or the credentials are not known.
pub(super) async fn open(source: SourceOptions, metrics: &Metrics) -> Result<ClusterSource> {
    Ok(match source {
        SourceOptions::Manifests(paths) => {
            let (manifests, first) = ManifestSource::open(paths, metrics.clone())?;
            let (sender, views) = watch::channel(first);
            // Files are watched, so the state that was read last never becomes stale.
            ClusterSource { views, follow: Box::pin(manifests.follow(sender)), stale_after: Duration::MAX }
        }
        SourceOptions::Api(options) => {
            let cluster = Cluster::open(&options, metrics.clone()).await?;
            let (sender, views) = watch::channel(ClusterView::empty());
            let follow = Box::pin(cluster.follow(sender));
            ClusterSource { views, follow, stale_after: options.stale_after }
        }
    })
}
