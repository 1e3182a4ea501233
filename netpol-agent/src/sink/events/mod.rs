//! Reports findings as Kubernetes Events of the pods that they concern.
//!
//! Each Event is a plain `create`. kube's recorder is not used: it merges Events about the same pod and policy into
//! one Event with a count, even if their notes differ. A finding is opened once, so there is nothing to aggregate.

mod message;
mod object;
mod pod_event;
mod queue;
mod rate;
mod writer;

use std::time::Duration;

use anyhow::Result;

pub use pod_event::PodEvent;
pub use queue::Events;

use super::{Built, Drain, SinkContext};
use queue::events;
use writer::EventWriter;

/// How long the last Events may take at the end of the run. If one is lost, the next agent opens the finding again
/// while it still holds.
const LAST_EVENTS: Duration = Duration::from_secs(1);

/// The flags of this sink.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct EventArgs {
    /// Report findings as Kubernetes Events of the affected pods. Needs permission to create events in
    /// events.k8s.io.
    #[arg(long, conflicts_with = "manifests")]
    pub events: bool,
}

impl EventArgs {
    /// Opens a connection to the API server.
    ///
    /// # Errors
    ///
    /// The API server's address or the credentials are not known.
    pub async fn build(self, context: &SinkContext) -> Result<Option<Built>> {
        let Some(credentials) = context.api.as_ref().filter(|_| self.events) else { return Ok(None) };
        let (events, queue) = events(context.node.clone());
        let writer = EventWriter::open(queue, credentials, context).await?;
        let task = async move {
            writer.run().await;
            Ok(())
        };
        let too_late = "the API server is too slow: the last Events are lost";
        let drain = Drain { task: Box::pin(task), limit: LAST_EVENTS, too_late };
        Ok(Some(Built { drain: Some(drain), ..Built::new(events) }))
    }
}
