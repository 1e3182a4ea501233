//! The task that writes Events. Whatever the API server does, nothing but Events waits for it.

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

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// How often to try one Event: for some minutes, while the API server does not answer.
const ATTEMPTS: u32 = 20;

const FORBIDDEN: Forbidden = Forbidden { verb: "create", resource: "events", group: "events.k8s.io" };

/// Writes what comes out of the queue.
pub(super) struct EventWriter {
    queue: mpsc::Receiver<PodEvent>,
    client: Client,
    /// The node, by which it is known who wrote an Event.
    instance: String,
    rate: Rate,
    metrics: Metrics,
    /// The present error, which has been logged.
    last_logged: Option<&'static str>,
}

impl EventWriter {
    /// # Errors
    ///
    /// It is not known which API server to write to, and as whom.
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

    /// Writes until no more can come.
    pub(super) async fn run(mut self) {
        while let Some(event) = self.queue.recv().await {
            sleep(self.rate.take(Instant::now())).await;
            self.write(&object(&event, &self.instance)).await;
        }
    }

    /// Tries until it is written, or there is no use in going on.
    async fn write(&mut self, object: &Object) {
        let mut backoff = Backoff::default();
        for attempt in 1.. {
            let Err(error) = self.create(object).await else { return self.written() };
            self.log_once(&error);
            if attempt == ATTEMPTS || !may_pass(&error) {
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
        match timeout(ANSWER, api.create(&PostParams::default(), object)).await {
            Ok(Ok(_)) => Ok(()),
            // An earlier attempt came there, and its answer did not come back.
            Ok(Err(kube::Error::Api(status))) if status.reason == "AlreadyExists" => Ok(()),
            Ok(Err(error)) => Err(watch_error(&error)),
            Err(_) => Err(WatchError::Silent(ANSWER)),
        }
    }

    fn written(&mut self) {
        self.metrics.event_written();
        if self.last_logged.take().is_some() {
            info!("findings are written as Events again");
        }
    }

    /// Logs what is wrong once, and not for every Event.
    fn log_once(&mut self, error: &WatchError) {
        if self.last_logged.replace(error.name()) != Some(error.name()) {
            warn!("findings can't be written as Events: {error}");
        }
    }
}

fn watch_error(error: &kube::Error) -> WatchError {
    match error {
        // What RBAC refuses says what may not be done. All else is refused for a reason of its own: the pod's namespace
        // is about to go, or a quota is used up.
        kube::Error::Api(status) if status.code == 403 && !status.message.contains("cannot create") => {
            WatchError::Refused { code: status.code, message: status.message.clone(), retry_after: None }
        }
        error => WatchError::from_client(error, FORBIDDEN),
    }
}

/// Whether the same Event may be taken later. A missing right is none of that: the next Event shows whether it came.
const fn may_pass(error: &WatchError) -> bool {
    match error {
        WatchError::Unreachable(_) | WatchError::Silent(_) => true,
        WatchError::Refused { code, .. } => *code == 429 || *code >= 500,
        _ => false,
    }
}
