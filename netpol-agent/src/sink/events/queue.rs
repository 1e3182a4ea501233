//! Findings on their way to become Kubernetes Events.

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::pod_event::{self, PodEvent};
use crate::{
    model::{Finding, LossCause, PolicyKind, Status},
    sink::Sink,
};

/// Events that may wait to be written. What waits behind more would be written too late to be of use.
const BACKLOG: usize = 64;

/// Where findings go in.
#[derive(Debug)]
pub struct Events {
    queue: mpsc::Sender<PodEvent>,
    /// The node whose agent this is, where its name is known.
    node: Option<String>,
    /// `group/version` by which the API server has each kind of policy.
    versions: Vec<(PolicyKind, String)>,
    lost: u64,
}

/// Both ends of the queue: the receiver ends when [`Events`] is dropped and everything is taken out.
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
