//! Where the cluster's state comes from: files or the API, which are alike from here on.

use std::{pin::Pin, time::Duration};

use anyhow::Result;
use tokio::sync::watch;

use super::{cluster::Cluster, manifests::ManifestSource, options::SourceOptions};
use crate::{policy::ClusterView, sink::metrics::Metrics};

/// A source of cluster state that has been opened.
pub(super) struct ClusterSource {
    /// The view in force, and every one after it.
    pub(super) views: watch::Receiver<ClusterView>,
    /// Publishes them; to be spawned.
    pub(super) follow: Pin<Box<dyn Future<Output = Result<()>> + Send>>,
    /// How old the knowledge of a kind may be that a verdict rests on.
    pub(super) stale_after: Duration,
}

/// Opens a source.
///
/// # Errors
///
/// Files can't be read; or it is not known which API server to ask, and as whom.
pub(super) async fn open(source: SourceOptions, metrics: &Metrics) -> Result<ClusterSource> {
    Ok(match source {
        SourceOptions::Manifests(paths) => {
            let (manifests, first) = ManifestSource::open(paths, metrics.clone())?;
            let (sender, views) = watch::channel(first);
            // Files are watched: what was read last is what there is.
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
