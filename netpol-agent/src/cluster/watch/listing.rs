//! All objects at one moment, for whoever asks once.

use std::time::{Duration, Instant};

use futures::future::{join, join_all};
use kube::Client;
use tokio::sync::mpsc;

use super::{Freshness, News, Settings, Trouble, watcher::Watcher};
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
    pub troubles: Vec<(ObjectKind, Trouble)>,
}

/// Lists all objects of all kinds.
pub async fn list(client: &Client) -> Listing {
    let (news, mut told) = mpsc::channel(BACKLOG);
    let settings = Settings { freshness: Freshness::new(Instant::now()), look_again: Duration::MAX };
    let lists = ObjectKind::ALL.map(|kind| {
        let watcher = Watcher::new(client, kind, &settings, &news);
        async move { (kind, watcher.once().await) }
    });
    drop(news);
    let take_in = async {
        let mut listing = Listing::default();
        while let Some(news) = told.recv().await {
            match news {
                News::Applied(object) => listing.objects.push(object),
                News::Unreadable { reference, why } => listing.unreadable.push((reference, why)),
                _ => {}
            }
        }
        listing
    };
    let (ended, listing) = join(join_all(lists), take_in).await;
    let troubles = ended.into_iter().filter_map(|(kind, ended)| Some((kind, ended.err()?))).collect();
    Listing { troubles, ..listing }
}
