//! Findings on their way to become Kubernetes Events.

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::event::{self, PodEvent};
use crate::model::Finding;

/// Events that may wait to be written. What waits behind more is told too late to be of use.
const WAITING: usize = 64;

/// Where findings go in.
#[derive(Debug)]
pub struct Events {
    queue: mpsc::Sender<PodEvent>,
    /// The node whose agent this is, where its name is known.
    node: Option<String>,
    lost: u64,
}

/// Both ends of the queue: it ends when [`Events`] is dropped and everything is taken out.
#[must_use]
pub fn events(node: Option<String>) -> (Events, mpsc::Receiver<PodEvent>) {
    let (queue, events) = mpsc::channel(WAITING);
    (Events { queue, node, lost: 0 }, events)
}

impl Events {
    /// A finding that has opened or closed, by a connection that began at this time.
    pub fn finding(&mut self, finding: &Finding, at: Timestamp) {
        for event in event::about(finding, self.node.as_deref(), at) {
            if self.queue.try_send(event).is_err() {
                self.lost += 1;
            }
        }
    }

    /// Events for which there was no room.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }
}
