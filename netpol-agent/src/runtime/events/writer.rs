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
    object::{REPORTER, object},
    rate::Rate,
};
use crate::{
    cluster::watch::{Backoff, Forbidden, WatchError, connect},
    runtime::{ApiOptions, SourceOptions},
    sink::{Events, Metrics, PodEvent, events},
};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// How often to try one Event: for some minutes, while the API server does not answer.
const ATTEMPTS: u32 = 20;

const FORBIDDEN: Forbidden = Forbidden { verb: "create", resource: "events", group: "events.k8s.io" };

/// Writes what comes out of the queue.
pub(crate) struct EventWriter {
    queue: mpsc::Receiver<PodEvent>,
    client: Client,
    /// The node, by which it is known who wrote an Event.
    instance: String,
    rate: Rate,
    metrics: Metrics,
    /// The present trouble, which has been said.
    said: Option<&'static str>,
}

/// Where findings go in, and what writes them; `None` where no Events are wanted.
///
/// # Errors
///
/// It is not known which API server to tell, and as whom.
pub(crate) async fn open(
    source: &SourceOptions,
    node: Option<&str>,
    metrics: &Metrics,
) -> Result<Option<(Events, EventWriter)>> {
    let SourceOptions::Api(ApiOptions { credentials, events: true, .. }) = source else { return Ok(None) };
    let client = connect(credentials).await?;
    let (events, queue) = events(node.map(str::to_owned));
    let writer = EventWriter {
        queue,
        client,
        instance: node.unwrap_or(REPORTER).to_owned(),
        rate: Rate::new(Instant::now()),
        metrics: metrics.clone(),
        said: None,
    };
    Ok(Some((events, writer)))
}

impl EventWriter {
    /// Writes until no more can come.
    pub(crate) async fn run(mut self) {
        while let Some(event) = self.queue.recv().await {
            sleep(self.rate.take(Instant::now())).await;
            self.write(&object(&event, &self.instance)).await;
        }
    }

    /// Tries until it is written, or there is no use in going on.
    async fn write(&mut self, object: &Object) {
        let mut backoff = Backoff::default();
        for attempt in 1.. {
            let Err(trouble) = self.create(object).await else { return self.written() };
            self.say(&trouble);
            if attempt == ATTEMPTS || !may_pass(&trouble) {
                return self.metrics.event_failed(trouble.name());
            }
            let asked = match trouble {
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
            Ok(Err(error)) => Err(trouble(&error)),
            Err(_) => Err(WatchError::Silent(ANSWER)),
        }
    }

    fn written(&mut self) {
        self.metrics.event_written();
        if self.said.take().is_some() {
            info!("findings are told as Events again");
        }
    }

    /// Says what is wrong once, not of every Event.
    fn say(&mut self, trouble: &WatchError) {
        if self.said.replace(trouble.name()) != Some(trouble.name()) {
            warn!("findings can't be told as Events: {trouble}");
        }
    }
}

fn trouble(error: &kube::Error) -> WatchError {
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
const fn may_pass(trouble: &WatchError) -> bool {
    match trouble {
        WatchError::Unreachable(_) | WatchError::Silent(_) => true,
        WatchError::Refused { code, .. } => *code == 429 || *code >= 500,
        _ => false,
    }
}
