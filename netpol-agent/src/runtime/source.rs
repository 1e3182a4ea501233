//! Where the cluster's state comes from: files or the API, which are alike from here on.

use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::sync::watch;

use super::{cluster::Cluster, manifests::Manifests, options::Source};
use crate::{
    cluster::{
        Snapshot,
        watch::{Freshness, Knowledge},
    },
    policy::Engine,
    sink::Metrics,
};

/// A source that has been opened.
pub(super) struct Opened {
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
    freshness: Freshness,
    /// How old what is not confirmed may be.
    limit: Duration,
}

impl Age {
    pub(super) fn now(&self) -> Knowledge {
        self.freshness.at(Instant::now(), self.limit)
    }
}

/// Opens a source.
///
/// # Errors
///
/// Files can't be read; or it is not known which API server to ask, and as whom.
pub(super) async fn open(source: Source, metrics: &Metrics) -> Result<Opened> {
    Ok(match source {
        Source::Manifests(paths) => {
            let freshness = Freshness::new(Instant::now());
            let (manifests, first) = Manifests::open(paths, freshness.clone(), metrics.clone())?;
            let (sender, states) = watch::channel(first.clone());
            let follow = Box::pin(manifests.follow(sender));
            // Files are watched: what was read last is what there is.
            Opened { first: Some(first), states, follow, knowledge: Age { freshness, limit: Duration::MAX } }
        }
        Source::Api(options) => {
            let freshness = Freshness::new(Instant::now());
            let cluster = Cluster::open(&options, freshness.clone(), metrics.clone()).await?;
            let nothing = Engine::compile(&Arc::new(Snapshot::empty()));
            let (sender, states) = watch::channel(nothing);
            let follow = Box::pin(cluster.follow(sender));
            Opened { first: None, states, follow, knowledge: Age { freshness, limit: options.stale_after } }
        }
    })
}
