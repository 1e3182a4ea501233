//! Lists all objects of all kinds once, for the commands that do not watch.
//!
//! It uses the same watchers as the agent, and stops each one after its first list.

use std::time::Duration;

use futures::future::{join, join_all};
use kube::Client;
use tokio::sync::mpsc;

use super::{WatchError, WatchEvent, WatchSettings, watcher::Watcher};
use crate::{
    cluster::{Object, ObjectRef},
    model::ObjectKind,
};

/// The number of events that may wait in the channel.
const BACKLOG: usize = 1024;

/// All objects that the API server returns, and what could not be listed or read.
#[derive(Debug, Default)]
pub struct Listing {
    /// The objects, in no particular order.
    pub objects: Vec<Object>,
    /// The objects that can't be read. The text names the field and the error.
    pub unreadable: Vec<(ObjectRef, String)>,
    /// The kinds that can't be listed. A policy kind whose CRD is not installed is not an error: there are no such
    /// policies.
    pub troubles: Vec<(ObjectKind, WatchError)>,
}

/// Lists all objects of all kinds.
pub async fn list(client: &Client) -> Listing {
    let (events, mut received) = mpsc::channel(BACKLOG);
    let settings = WatchSettings { rediscovery_interval: Duration::MAX };
    let lists = ObjectKind::ALL.map(|kind| {
        let watcher = Watcher::new(client, kind, &settings, &events);
        async move { (kind, watcher.once().await) }
    });
    drop(events);
    let collect_events = async {
        let mut listing = Listing::default();
        while let Some(event) = received.recv().await {
            match event {
                WatchEvent::Apply(object) => listing.objects.push(object),
                WatchEvent::Unreadable { reference, why } => listing.unreadable.push((reference, why)),
                _ => {}
            }
        }
        listing
    };
    let (results, listing) = join(join_all(lists), collect_events).await;
    let troubles = results.into_iter().filter_map(|(kind, result)| Some((kind, result.err()?))).collect();
    Listing { troubles, ..listing }
}
