//! All objects at one moment, for whoever asks once.

use std::time::{Duration, Instant};

use futures::future::{join, join_all};
use kube::Client;
use tokio::sync::mpsc;

use super::{SyncTracker, WatchError, WatchEvent, WatchSettings, watcher::Watcher};
use crate::{
    cluster::{Object, ObjectRef},
    model::ObjectKind,
};

/// Objects that may wait until they are taken in.
const BACKLOG: usize = 1024;

/// All objects that the API server has, as far as it tells.
#[derive(Debug, Default)]
pub struct Listing {
    /// The objects, in no order.
    pub objects: Vec<Object>,
    /// Those that can't be read: which, and the field with what is wrong with it.
    pub unreadable: Vec<(ObjectRef, String)>,
    /// Kinds that can't be had. Policies of a CRD that is not installed are not among them: there are none.
    pub troubles: Vec<(ObjectKind, WatchError)>,
}

/// Lists all objects of all kinds.
pub async fn list(client: &Client) -> Listing {
    let (watch_event, mut told) = mpsc::channel(BACKLOG);
    let settings =
        WatchSettings { sync_tracker: SyncTracker::new(Instant::now()), rediscovery_interval: Duration::MAX };
    let lists = ObjectKind::ALL.map(|kind| {
        let watcher = Watcher::new(client, kind, &settings, &watch_event);
        async move { (kind, watcher.once().await) }
    });
    drop(watch_event);
    let take_in = async {
        let mut listing = Listing::default();
        while let Some(watch_event) = told.recv().await {
            match watch_event {
                WatchEvent::Apply(object) => listing.objects.push(object),
                WatchEvent::Unreadable { reference, why } => listing.unreadable.push((reference, why)),
                _ => {}
            }
        }
        listing
    };
    let (ended, listing) = join(join_all(lists), take_in).await;
    let troubles = ended.into_iter().filter_map(|(kind, ended)| Some((kind, ended.err()?))).collect();
    Listing { troubles, ..listing }
}
