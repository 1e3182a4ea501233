//! The sink and the queue of Events that wait to be written.

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::pod_event::{self, PodEvent};
use crate::{
    model::{Finding, LossCause, PolicyKind, Status},
    sink::Sink,
};

/// The number of Events that may wait in the queue. More would be written too late to be useful.
const BACKLOG: usize = 64;

/// The sink that queues Events.
#[derive(Debug)]
pub struct Events {
    queue: mpsc::Sender<PodEvent>,
    /// This agent's node, if its name is known.
    node: Option<String>,
    /// The `group/version` in which the API server serves each kind of policy.
    versions: Vec<(PolicyKind, String)>,
    lost: u64,
}

/// Creates the sink and the receiver of its queue. The receiver ends when [`Events`] is dropped and the queue is
/// empty.
#[must_use]
pub(super) fn events(node: Option<String>) -> (Events, mpsc::Receiver<PodEvent>) {
    let (queue, events) = mpsc::channel(BACKLOG);
    (Events { queue, node, versions: Vec::new(), lost: 0 }, events)
}

impl Sink for Events {
    fn finding(&mut self, finding: &Finding, time: Timestamp) {
        for mut event in pod_event::about(finding, self.node.as_deref(), time) {
            let kind = event.related.as_ref().map(|policy| policy.kind);
            event.related_version = self
                .versions
                .iter()
                .find(|(known, _)| Some(*known) == kind)
                .map(|(_, version)| version.clone());
            if self.queue.try_send(event).is_err() {
                self.lost += 1;
            }
        }
    }

    fn status(&mut self, status: &Status) {
        self.versions.clone_from(&status.policy_versions);
    }

    fn lost(&self) -> Option<(LossCause, u64)> {
        Some((LossCause::Events, self.lost))
    }
}
