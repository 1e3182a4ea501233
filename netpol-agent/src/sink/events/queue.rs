//! Findings on their way to become Kubernetes Events.

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::pod_event::{self, PodEvent};
use crate::{
    model::{Finding, LossCause},
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
    lost: u64,
}

/// Both ends of the queue: the receiver ends when [`Events`] is dropped and everything is taken out.
#[must_use]
pub(super) fn events(node: Option<String>) -> (Events, mpsc::Receiver<PodEvent>) {
    let (queue, events) = mpsc::channel(BACKLOG);
    (Events { queue, node, lost: 0 }, events)
}

impl Sink for Events {
    fn finding(&mut self, finding: &Finding, time: Timestamp) {
        for event in pod_event::about(finding, self.node.as_deref(), time) {
            if self.queue.try_send(event).is_err() {
                self.lost += 1;
            }
        }
    }

    fn lost(&self) -> Option<(LossCause, u64)> {
        Some((LossCause::Events, self.lost))
    }
}
