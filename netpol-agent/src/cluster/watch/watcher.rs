//! Follows all objects of one kind, whatever the server does.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use futures::io::AsyncBufRead;
use kube::Client;
use tokio::{sync::mpsc, time::sleep};

use super::{
    SyncTracker, WatchError, WatchEvent,
    api::{ApiClient, Cursor, Since},
    backoff::Backoff,
    line::LineReader,
    raw::{self, ApiGroup, Page, PartialObjectMeta, RawWatchEvent},
    resource::Resource,
};
use crate::model::ObjectKind;

/// The server says something once a minute, if only that nothing has happened. After this time without a word, the
/// connection counts as dead. The texts of `--stale-after` and of the chart's `staleAfter` tell this time.
const PATIENCE: Duration = Duration::from_secs(150);

/// A watch that ends sooner than this has not been one.
const SHORT: Duration = Duration::from_secs(1);

/// What all watchers share.
#[derive(Clone, Debug)]
pub struct WatchSettings {
    /// Where to note that a kind is current.
    pub sync_tracker: SyncTracker,
    /// How often to look for kinds that the server did not know, such as those that are installed as CRDs.
    pub rediscovery_interval: Duration,
}

/// One watcher for each kind. They end when nobody takes the news any more.
pub fn watchers(
    client: &Client,
    settings: &WatchSettings,
    watch_event: &mpsc::Sender<WatchEvent>,
) -> Vec<impl Future<Output = ()> + Send + 'static> {
    ObjectKind::ALL.into_iter().map(|kind| Watcher::new(client, kind, settings, watch_event).run()).collect()
}

pub(super) struct Watcher {
    api: ApiClient,
    resource: Resource,
    settings: WatchSettings,
    watch_event: mpsc::Sender<WatchEvent>,
    /// The version of the API by which the server has the kind, once known.
    served: Option<&'static str>,
    /// The resource version up to which all is told; `None` where all objects have to be read.
    position: Option<String>,
    /// Whether the server may be able to send all objects as a watch: that costs it the least.
    streams: bool,
    /// Whether trouble was told and has not ended.
    troubled: bool,
    backoff: Backoff,
}

impl Watcher {
    pub(super) fn new(
        client: &Client,
        kind: ObjectKind,
        settings: &WatchSettings,
        watch_event: &mpsc::Sender<WatchEvent>,
    ) -> Self {
        let resource = Resource::of(kind);
        Self {
            api: ApiClient::new(client.clone(), resource),
            resource,
            settings: settings.clone(),
            watch_event: watch_event.clone(),
            served: None,
            position: None,
            streams: true,
            troubled: false,
            backoff: Backoff::default(),
        }
    }

    /// Tells all objects of this moment, and nothing of what comes after.
    pub(super) async fn once(mut self) -> Result<(), WatchError> {
        match self.discover().await {
            Ok(served) => self.list(served).await,
            Err(WatchError::NotServed) if !self.resource.built_in => Ok(()),
            Err(watch_error) => Err(watch_error),
        }
    }

    async fn run(mut self) {
        while !self.watch_event.is_closed() {
            let Err(watch_error) = self.follow().await else { continue };
            let wait = self.handle(watch_error).await;
            tokio::select! {
                () = self.watch_event.closed() => {}
                () = sleep(wait) => {}
            }
        }
    }

    /// One attempt: as far as the end of a watch.
    async fn follow(&mut self) -> Result<(), WatchError> {
        let served = match self.served {
            Some(version) => version,
            None => self.discover().await?,
        };
        self.served = Some(served);
        if self.position.is_none() && !self.streams {
            self.list(served).await?;
        }
        let start = Instant::now();
        self.watch(served).await?;
        if start.elapsed() < SHORT {
            return Err(WatchError::Unreachable("it ends a watch as soon as it is asked for one".to_owned()));
        }
        Ok(())
    }

    /// Tells what has to be told, and how long to wait.
    async fn handle(&mut self, watch_error: WatchError) -> Duration {
        let kind = self.resource.kind;
        let random = fastrand::f64();
        let silence = if let WatchError::Silent(time) = &watch_error { *time } else { Duration::ZERO };
        let now = Instant::now();
        self.settings.sync_tracker.lost(kind, now.checked_sub(silence).unwrap_or(now));
        // Whatever is wrong with a list as a watch need not be wrong with pages: they are what every server knows.
        let is_listing = self.served.is_some() && self.position.is_none();
        let is_of_stream = self.streams && is_listing && !watch_error.is_general();
        self.streams &= !is_of_stream;
        match &watch_error {
            // Nowhere: what has been served may be so by another version now.
            WatchError::NotServed if !self.resource.built_in && self.served.is_none() => {
                self.position = None;
                self.tell(WatchEvent::NotServed(kind)).await;
                self.well().await;
                return self.settings.rediscovery_interval.mul_f64(0.5 + random / 2.0);
            }
            // A server that does not know what was asked for may also say nothing.
            WatchError::Unsupported(_) | WatchError::Silent(_) if is_of_stream => return Duration::ZERO,
            WatchError::NotServed => (self.served, self.position) = (None, None),
            WatchError::Expired | WatchError::Unsupported(_) | WatchError::Malformed(_) => {
                self.position = None;
            }
            WatchError::Forbidden(_)
            | WatchError::Refused { .. }
            | WatchError::Unreachable(_)
            | WatchError::Silent(_) => {}
        }
        let asked = match &watch_error {
            WatchError::Refused { retry_after, .. } => *retry_after,
            _ => None,
        };
        self.troubled = true;
        self.tell(WatchEvent::Failed(kind, watch_error)).await;
        self.backoff.next(asked, random)
    }

    /// The version by which the server has the kind.
    async fn discover(&self) -> Result<&'static str, WatchError> {
        let versions = self.resource.versions;
        if self.resource.built_in {
            return versions.first().copied().ok_or(WatchError::NotServed);
        }
        for version in versions {
            match self.api.get::<ApiGroup>(self.resource.group_path(version)).await {
                Ok(group) if group.has(self.resource.kind) => return Ok(version),
                Ok(_) | Err(WatchError::NotServed) => {}
                Err(watch_error) => return Err(watch_error),
            }
        }
        Err(WatchError::NotServed)
    }

    /// Reads all objects, page by page.
    async fn list(&mut self, served: &str) -> Result<(), WatchError> {
        self.tell(WatchEvent::Init(self.resource.kind)).await;
        let mut next: Option<String> = None;
        loop {
            let cursor = next.as_deref().map_or(Cursor::Start, Cursor::After);
            let text = self.api.page(served, cursor).await?;
            let page: Page<'_> = serde_json::from_str(&text)
                .map_err(|error| WatchError::Malformed(format!("a list: {error}")))?;
            for item in page.items.into_iter().flatten() {
                self.apply(item).await?;
            }
            next = page.metadata.next.filter(|token| !token.is_empty());
            if next.is_none() {
                self.position = Some(page.metadata.resource_version);
                break;
            }
        }
        self.tell(WatchEvent::InitDone(self.resource.kind)).await;
        self.well().await;
        Ok(())
    }

    /// Follows changes until the server ends the watch; reads all objects first where that has not been done.
    async fn watch(&mut self, served: &str) -> Result<(), WatchError> {
        let since = self.position.as_deref().map_or(Since::Everything, Since::Version);
        let mut answer = pin!(self.api.watch(served, since).await?);
        let mut lines = LineReader::new(&mut answer);
        if self.position.is_none() {
            self.tell(WatchEvent::Init(self.resource.kind)).await;
        }
        while let Some(line) = self.next(&mut lines).await? {
            let version = match RawWatchEvent::read(line)? {
                RawWatchEvent::Applied(head, object) => {
                    self.apply(object).await?;
                    head.resource_version
                }
                RawWatchEvent::Deleted(head) => {
                    self.tell(WatchEvent::Delete(head.reference(self.resource))).await;
                    head.resource_version
                }
                RawWatchEvent::Bookmark(head) => {
                    if self.position.is_none() && head.ends_list() {
                        self.position = Some(String::new());
                        self.tell(WatchEvent::InitDone(self.resource.kind)).await;
                    }
                    head.resource_version
                }
                RawWatchEvent::Failed(status) => {
                    return Err(WatchError::of_status(&status, self.resource.forbidden("watch")));
                }
            };
            if let Some(position) = &mut self.position {
                *position = version;
                self.backoff.reset();
                self.well().await;
            }
        }
        Ok(())
    }

    /// The next line. The server may begin with an error, such as that it has forgotten the version that was asked for;
    /// where nothing comes for a while, nothing has happened since.
    async fn next<'l, R: AsyncBufRead + Unpin>(
        &mut self,
        lines: &'l mut LineReader<R>,
    ) -> Result<Option<&'l [u8]>, WatchError> {
        let mut line = pin!(lines.next(PATIENCE));
        if self.position.is_some() {
            tokio::select! {
                biased;
                line = &mut line => return line,
                () = sleep(SHORT) => self.well().await,
            }
        }
        line.await
    }

    /// Tells of an object that is there.
    async fn apply(&self, json: &serde_json::value::RawValue) -> Result<(), WatchError> {
        let watch_event = match raw::object(self.resource, json) {
            Ok(object) => WatchEvent::Apply(object),
            Err(why) => WatchEvent::Unreadable {
                reference: PartialObjectMeta::of(json)?.reference(self.resource),
                why,
            },
        };
        self.tell(watch_event).await;
        Ok(())
    }

    /// All that is known of the kind is current.
    async fn well(&mut self) {
        self.settings.sync_tracker.current(self.resource.kind);
        if std::mem::take(&mut self.troubled) {
            self.tell(WatchEvent::Recovered(self.resource.kind)).await;
        }
    }

    async fn tell(&self, watch_event: WatchEvent) {
        // Nobody listens any more: `run` is about to end.
        let _ = self.watch_event.send(watch_event).await;
    }
}
