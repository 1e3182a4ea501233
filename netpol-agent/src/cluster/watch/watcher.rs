//! Follows all objects of one kind, whatever the server does.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use futures::io::AsyncBufRead;
use kube::Client;
use tokio::{sync::mpsc, time::sleep};

use super::{
    Forbidden, WatchError, WatchEvent,
    api::{ApiClient, Cursor, Since},
    backoff::Backoff,
    line::LineReader,
    raw::{self, ApiGroup, Page, PartialObjectMeta, RawWatchEvent},
};
use crate::{
    kernel::monotonic_now,
    model::{ApiKind, Monotonic, ObjectKind},
};

/// The server says something once a minute, if only that nothing has happened. After this time without a word, the
/// connection counts as dead. The texts of `--stale-after` and of the chart's `staleAfter` tell this time.
const PATIENCE: Duration = Duration::from_secs(150);

/// A watch that ends sooner than this has not been one. After a watch was resumed and nothing has come for this time, what
/// had happened in the meantime has been sent.
const SHORT: Duration = Duration::from_secs(1);

/// What all watchers share.
#[derive(Clone, Debug)]
pub struct WatchSettings {
    /// How often to look for kinds that the server did not know, such as those that are installed as CRDs.
    pub rediscovery_interval: Duration,
}

/// One watcher for each kind. They end when nobody receives their events any more.
pub fn watchers(
    client: &Client,
    settings: &WatchSettings,
    events: &mpsc::Sender<WatchEvent>,
) -> Vec<impl Future<Output = ()> + Send + 'static> {
    ObjectKind::ALL.into_iter().map(|kind| Watcher::new(client, kind, settings, events).run()).collect()
}

pub(super) struct Watcher {
    api: ApiClient,
    resource: &'static ApiKind,
    settings: WatchSettings,
    events: mpsc::Sender<WatchEvent>,
    /// The version of the API by which the server has the kind, once known.
    served: Option<&'static str>,
    /// The resource version up to which all is told; `None` where all objects have to be read.
    position: Option<String>,
    /// Whether the server may be able to send all objects as a watch: that costs it the least.
    streams: bool,
    /// Whether all that is known of the kind is current, and that has been reported.
    is_current: bool,
    /// When the server ended the last watch in order, if none has begun since: changes have not come in from then on.
    ended: Option<Monotonic>,
    /// Whether an error was reported and has not ended.
    has_failed: bool,
    backoff: Backoff,
}

impl Watcher {
    pub(super) fn new(
        client: &Client,
        kind: ObjectKind,
        settings: &WatchSettings,
        events: &mpsc::Sender<WatchEvent>,
    ) -> Self {
        let resource = ApiKind::of(kind);
        Self {
            api: ApiClient::new(client.clone(), resource),
            resource,
            settings: settings.clone(),
            events: events.clone(),
            served: None,
            position: None,
            streams: true,
            is_current: false,
            ended: None,
            has_failed: false,
            backoff: Backoff::default(),
        }
    }

    /// Tells all objects of this moment, and nothing of what comes after.
    pub(super) async fn once(mut self) -> Result<(), WatchError> {
        match self.discover().await {
            Ok(served) => self.list(served).await,
            Err(WatchError::NotServed) if !self.resource.always_served => Ok(()),
            Err(watch_error) => Err(watch_error),
        }
    }

    async fn run(mut self) {
        while !self.events.is_closed() {
            let Err(watch_error) = self.follow().await else { continue };
            let wait = self.handle(watch_error).await;
            tokio::select! {
                () = self.events.closed() => {}
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
        if self.served.replace(served) != Some(served) {
            self.report(WatchEvent::Served(self.resource.kind, served)).await;
        }
        if self.position.is_none() && !self.streams {
            self.list(served).await?;
        }
        let start = Instant::now();
        self.watch(served).await?;
        self.ended = Some(monotonic_now());
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
        if std::mem::take(&mut self.is_current) {
            let last = self.ended.unwrap_or_else(|| monotonic_now() - silence);
            self.report(WatchEvent::Lost(kind, last)).await;
        }
        // Whatever is wrong with a list as a watch need not be wrong with pages: they are what every server knows.
        let is_listing = self.served.is_some() && self.position.is_none();
        let is_of_stream = self.streams && is_listing && !watch_error.is_general();
        self.streams &= !is_of_stream;
        match &watch_error {
            // Nowhere: what has been served may be so by another version now.
            WatchError::NotServed if !self.resource.always_served && self.served.is_none() => {
                self.position = None;
                self.report(WatchEvent::NotServed(kind)).await;
                self.mark_current().await;
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
        self.has_failed = true;
        self.report(WatchEvent::Failed(kind, watch_error)).await;
        self.backoff.next(asked, random)
    }

    /// The version by which the server has the kind.
    async fn discover(&self) -> Result<&'static str, WatchError> {
        let versions = self.resource.versions;
        if self.resource.always_served {
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
        self.report(WatchEvent::Init(self.resource.kind)).await;
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
        self.report(WatchEvent::InitDone(self.resource.kind)).await;
        self.mark_current().await;
        Ok(())
    }

    /// Follows changes until the server ends the watch; reads all objects first where that has not been done.
    async fn watch(&mut self, served: &str) -> Result<(), WatchError> {
        let since = self.position.as_deref().map_or(Since::Everything, Since::Version);
        let mut answer = pin!(self.api.watch(served, since).await?);
        self.ended = None;
        let mut lines = LineReader::new(&mut answer);
        if self.position.is_none() {
            self.report(WatchEvent::Init(self.resource.kind)).await;
        }
        while let Some(line) = self.next(&mut lines).await? {
            let (version, is_bookmark) = match RawWatchEvent::read(line)? {
                RawWatchEvent::Applied(meta, object) => {
                    self.apply(object).await?;
                    (meta.resource_version, false)
                }
                RawWatchEvent::Deleted(meta) => {
                    self.report(WatchEvent::Delete(meta.reference(self.resource))).await;
                    (meta.resource_version, false)
                }
                RawWatchEvent::Bookmark(meta) => {
                    if self.position.is_none() && meta.ends_list() {
                        self.position = Some(String::new());
                        self.report(WatchEvent::InitDone(self.resource.kind)).await;
                    }
                    (meta.resource_version, true)
                }
                RawWatchEvent::Failed(status) => {
                    return Err(WatchError::of_status(&status, Forbidden::of("watch", self.resource)));
                }
            };
            if let Some(position) = &mut self.position {
                *position = version;
                self.backoff.reset();
                if is_bookmark {
                    self.mark_current().await;
                }
            }
        }
        Ok(())
    }

    /// The next line.
    ///
    /// A watch that was resumed begins with all that has happened since its position, or with an error, such as that the
    /// server has forgotten that version. So the first events prove nothing: the kind is current again at the first
    /// bookmark, which says that all up to its version has been sent (about one a minute; API concepts, "Watch
    /// bookmarks"), or once nothing has come for a second. Until then it is as old as when the connection was lost.
    async fn next<'l, R: AsyncBufRead + Unpin>(
        &mut self,
        lines: &'l mut LineReader<R>,
    ) -> Result<Option<&'l [u8]>, WatchError> {
        let mut line = pin!(lines.next(PATIENCE));
        if self.position.is_some() && !self.is_current {
            tokio::select! {
                biased;
                line = &mut line => return line,
                () = sleep(SHORT) => self.mark_current().await,
            }
        }
        line.await
    }

    /// Reports an object that is there.
    async fn apply(&self, json: &serde_json::value::RawValue) -> Result<(), WatchError> {
        let event = match raw::object(self.resource, json) {
            Ok(object) => WatchEvent::Apply(object),
            Err(why) => WatchEvent::Unreadable {
                reference: PartialObjectMeta::of(json)?.reference(self.resource),
                why,
            },
        };
        self.report(event).await;
        Ok(())
    }

    /// All that is known of the kind is current.
    async fn mark_current(&mut self) {
        if !std::mem::replace(&mut self.is_current, true) {
            self.report(WatchEvent::Current(self.resource.kind)).await;
        }
        if std::mem::take(&mut self.has_failed) {
            self.report(WatchEvent::Recovered(self.resource.kind)).await;
        }
    }

    async fn report(&self, event: WatchEvent) {
        // The receiver is gone: `run` is about to end.
        let _ = self.events.send(event).await;
    }
}
