//! The task that writes Events. If the API server is slow or unreachable, only Events are delayed.
//!
//! It limits the rate, retries temporary errors, and logs each kind of error once.

use std::time::{Duration, Instant};

use anyhow::Result;
use k8s_openapi::api::events::v1::Event as Object;
use kube::{Api, Client, core::params::PostParams};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tracing::{info, warn};

use super::{
    PodEvent,
    object::{REPORTER, object},
    rate::Rate,
};
use crate::{
    cluster::watch::{Backoff, Credentials, Forbidden, WatchError, connect},
    sink::{SinkContext, metrics::Metrics},
};

/// The timeout for a response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The number of attempts for one Event: some minutes if the API server does not respond.
const ATTEMPTS: u32 = 20;

const FORBIDDEN: Forbidden = Forbidden { verb: "create", resource: "events", group: "events.k8s.io" };

/// Writes the Events from the queue.
pub(super) struct EventWriter {
    queue: mpsc::Receiver<PodEvent>,
    client: Client,
    /// The node's name, as the Event's reporting instance.
    instance: String,
    rate: Rate,
    metrics: Metrics,
    /// The current error, which has been logged.
    last_logged: Option<&'static str>,
}

impl EventWriter {
    /// Creates the writer and its client.
    ///
    /// # Errors
    ///
    /// The API server's address or the credentials are not known.
    pub(super) async fn open(
        queue: mpsc::Receiver<PodEvent>,
        credentials: &Credentials,
        context: &SinkContext,
    ) -> Result<Self> {
        Ok(Self {
            queue,
            client: connect(credentials).await?,
            instance: context.node.as_deref().unwrap_or(REPORTER).to_owned(),
            rate: Rate::new(Instant::now()),
            metrics: context.metrics.clone(),
            last_logged: None,
        })
    }

    /// Writes Events until the queue is closed and empty.
    pub(super) async fn run(mut self) {
        while let Some(event) = self.queue.recv().await {
            sleep(self.rate.take(Instant::now())).await;
            self.write(&object(&event, &self.instance)).await;
        }
    }

    /// Writes one Event. Retries while a later attempt may succeed.
    async fn write(&mut self, object: &Object) {
        let mut backoff = Backoff::default();
        for attempt in 1.. {
            let Err(error) = self.create(object).await else { return self.written() };
            self.log_once(&error);
            if attempt == ATTEMPTS || !may_succeed_later(&error) {
                return self.metrics.event_failed(error.name());
            }
            let asked = match error {
                WatchError::Refused { retry_after, .. } => retry_after,
                _ => None,
            };
            sleep(backoff.next(asked, fastrand::f64())).await;
        }
    }

    async fn create(&self, object: &Object) -> Result<(), WatchError> {
        let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
        let api: Api<Object> = Api::namespaced(self.client.clone(), namespace);
        match timeout(RESPONSE_TIMEOUT, api.create(&PostParams::default(), object)).await {
            Ok(Ok(_)) => Ok(()),
            // An earlier attempt has succeeded, and its response was lost.
            Ok(Err(kube::Error::Api(status))) if status.reason == "AlreadyExists" => Ok(()),
            Ok(Err(error)) => Err(watch_error(&error)),
            Err(_) => Err(WatchError::Silent(RESPONSE_TIMEOUT)),
        }
    }

    fn written(&mut self) {
        self.metrics.event_written();
        if self.last_logged.take().is_some() {
            info!("findings are written as Events again");
        }
    }

    /// Logs an error once, not for every Event.
    fn log_once(&mut self, error: &WatchError) {
        if self.last_logged.replace(error.name()) != Some(error.name()) {
            warn!("findings can't be written as Events: {error}");
        }
    }
}

fn watch_error(error: &kube::Error) -> WatchError {
    match error {
        // If RBAC refuses, the message contains "cannot create". Otherwise 403 has another cause: the pod's namespace
        // is being deleted, or a quota is exceeded.
        kube::Error::Api(status) if status.code == 403 && !status.message.contains("cannot create") => {
            WatchError::Refused { code: status.code, message: status.message.clone(), retry_after: None }
        }
        error => WatchError::from_client(error, FORBIDDEN),
    }
}

/// Returns true if a later attempt for the same Event may succeed. A missing permission is not retried: the next Event
/// shows whether it was granted.
const fn may_succeed_later(error: &WatchError) -> bool {
    match error {
        WatchError::Unreachable(_) | WatchError::Silent(_) => true,
        WatchError::Refused { code, .. } => *code == 429 || *code >= 500,
        _ => false,
    }
}
