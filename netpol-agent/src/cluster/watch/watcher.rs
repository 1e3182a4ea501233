//! Lists and watches all objects of one kind, and recovers from every error of the server.
//!
//! It prefers a streaming list (a watch that begins with all objects), and falls back to a list in pages.

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

/// The timeout for the next line of a watch. The server sends a bookmark about once a minute even if nothing has
/// changed. After this time without any data, the connection counts as lost. The texts of `--stale-after` and of the
/// chart's `staleAfter` mention this time.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(150);

/// A watch that ends sooner than this counts as an error. If nothing is received for this time after a watch was
/// resumed, all changes that were missed have been sent.
const SETTLE_TIME: Duration = Duration::from_secs(1);

/// The settings of all watchers.
#[derive(Clone, Debug)]
pub struct WatchSettings {
    /// How often to check whether the server now serves a kind that it did not serve before, such as a CRD that was
    /// installed later.
    pub rediscovery_interval: Duration,
}

/// Creates one watcher for each kind. They end when the receiver of the events is dropped.
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
    /// The version of the API group in which the server serves the kind, once it is known.
    served: Option<&'static str>,
    /// The resource version up to which all changes have been reported. `None` if all objects have to be listed.
    position: Option<String>,
    /// True unless the server has failed to send a list as a watch (streaming list). That is the cheapest way for the
    /// server.
    streams: bool,
    /// True if all objects of the kind are current, and that has been reported.
    is_current: bool,
    /// When the server regularly ended the last watch, if none has begun since. No changes have been received since
    /// then.
    ended: Option<Monotonic>,
    /// True if an error was reported and has not ended.
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

    /// Reports all objects once, and does not watch.
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

    /// Makes one attempt: lists all objects if needed, and watches until the watch ends.
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
        if start.elapsed() < SETTLE_TIME {
            return Err(WatchError::Unreachable("it ends each watch immediately".to_owned()));
        }
        Ok(())
    }

    /// Handles an error: reports it, and returns how long to wait before the next attempt.
    async fn handle(&mut self, watch_error: WatchError) -> Duration {
        let kind = self.resource.kind;
        let random = fastrand::f64();
        let silence = if let WatchError::Silent(time) = &watch_error { *time } else { Duration::ZERO };
        if std::mem::take(&mut self.is_current) {
            let last = self.ended.unwrap_or_else(|| monotonic_now() - silence);
            self.report(WatchEvent::Lost(kind, last)).await;
        }
        // If a streaming list fails, a list in pages may still work: every server supports pages.
        let is_listing = self.served.is_some() && self.position.is_none();
        let is_of_stream = self.streams && is_listing && !watch_error.is_general();
        self.streams &= !is_of_stream;
        match &watch_error {
            // No version is served. A kind that was served before is handled below: another version may be served now.
            WatchError::NotServed if !self.resource.always_served && self.served.is_none() => {
                self.position = None;
                self.report(WatchEvent::NotServed(kind)).await;
                self.mark_current().await;
                return self.settings.rediscovery_interval.mul_f64(0.5 + random / 2.0);
            }
            // A server that does not support a streaming list may also send nothing at all.
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

    /// Finds the version in which the server serves the kind.
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

    /// Lists all objects, page by page.
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

    /// Watches changes until the server ends the watch. If there is no position, all objects are received first.
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

    /// Reads the next line.
    ///
    /// A resumed watch begins with all changes since its position, or with an error, such as that the server no longer
    /// has that version. So the first events do not mean that the kind is current. It is current at the first
    /// bookmark, which means that all changes up to its version have been sent (about one a minute; API concepts,
    /// "Watch bookmarks"). It is also current once nothing has been received for a second. Until then, its objects are
    /// as old as the time when the connection was lost.
    async fn next<'l, R: AsyncBufRead + Unpin>(
        &mut self,
        lines: &'l mut LineReader<R>,
    ) -> Result<Option<&'l [u8]>, WatchError> {
        let mut line = pin!(lines.next(SILENCE_TIMEOUT));
        if self.position.is_some() && !self.is_current {
            tokio::select! {
                biased;
                line = &mut line => return line,
                () = sleep(SETTLE_TIME) => self.mark_current().await,
            }
        }
        line.await
    }

    /// Reports an object that was added or changed.
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

    /// Reports that all objects of the kind are current, and that the last error has ended.
    async fn mark_current(&mut self) {
        if !std::mem::replace(&mut self.is_current, true) {
            self.report(WatchEvent::Current(self.resource.kind)).await;
        }
        if std::mem::take(&mut self.has_failed) {
            self.report(WatchEvent::Recovered(self.resource.kind)).await;
        }
    }

    async fn report(&self, event: WatchEvent) {
        // This fails if the receiver was dropped. Then `run` is about to end.
        let _ = self.events.send(event).await;
    }
}
