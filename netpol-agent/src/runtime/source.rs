//! Where the cluster's state comes from: files or the API, which are alike from here on.

use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::sync::watch;

use super::{cluster::Cluster, manifests::ManifestSource, options::SourceOptions};
use crate::{
    cluster::{
        Snapshot,
        watch::{SyncStatus, SyncTracker},
    },
    policy::Engine,
    sink::Metrics,
};

/// A source that has been opened.
pub(super) struct ClusterSource {
    /// The state at the start, where it is known already.
    pub(super) first: Option<Arc<Engine>>,
    /// Every state after it.
    pub(super) states: watch::Receiver<Arc<Engine>>,
    /// Publishes them; to be spawned.
    pub(super) follow: Pin<Box<dyn Future<Output = Result<()>> + Send>>,
    /// How well the cluster is known.
    pub(super) knowledge: Age,
}

/// How well the cluster is known.
pub(super) struct Age {
    sync_tracker: SyncTracker,
    /// How old what is not confirmed may be.
    limit: Duration,
}

impl Age {
    pub(super) fn now(&self) -> SyncStatus {
        self.sync_tracker.at(Instant::now(), self.limit)
    }
}

/// Opens a source.
///
/// # Errors
///
/// Files can't be read; or it is not known which API server to ask, and as whom.
pub(super) async fn open(source: SourceOptions, metrics: &Metrics) -> Result<ClusterSource> {
    Ok(match source {
        SourceOptions::Manifests(paths) => {
            let sync_tracker = SyncTracker::new(Instant::now());
            let (manifests, first) = ManifestSource::open(paths, sync_tracker.clone(), metrics.clone())?;
            let (sender, states) = watch::channel(first.clone());
            let follow = Box::pin(manifests.follow(sender));
            // Files are watched: what was read last is what there is.
            ClusterSource {
                first: Some(first),
                states,
                follow,
                knowledge: Age { sync_tracker, limit: Duration::MAX },
            }
        }
        SourceOptions::Api(options) => {
            let sync_tracker = SyncTracker::new(Instant::now());
            let cluster = Cluster::open(&options, sync_tracker.clone(), metrics.clone()).await?;
            let nothing = Engine::compile(&Arc::new(Snapshot::empty()));
            let (sender, states) = watch::channel(nothing);
            let follow = Box::pin(cluster.follow(sender));
            ClusterSource {
                first: None,
                states,
                follow,
                knowledge: Age { sync_tracker, limit: options.stale_after },
            }
        }
    })
}
