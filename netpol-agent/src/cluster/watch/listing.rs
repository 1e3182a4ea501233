//! All objects at one moment, for whoever asks once.

use std::time::Duration;

use futures::future::{join, join_all};
use kube::Client;
use tokio::sync::mpsc;

use super::{WatchError, WatchEvent, WatchSettings, watcher::Watcher};
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
    let (events, mut received) = mpsc::channel(BACKLOG);
    let settings = WatchSettings { rediscovery_interval: Duration::MAX };
    let lists = ObjectKind::ALL.map(|kind| {
        let watcher = Watcher::new(client, kind, &settings, &events);
        async move { (kind, watcher.once().await) }
    });
    drop(events);
    let take_in = async {
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
    let (ended, listing) = join(join_all(lists), take_in).await;
    let troubles = ended.into_iter().filter_map(|(kind, ended)| Some((kind, ended.err()?))).collect();
    Listing { troubles, ..listing }
}
