//! A ring buffer of the last flows, from which the clients' requests are served.
//!
//! The sink writes to the ring, and each request reads from it at its own speed.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use crate::model::Flow;

/// The shortest time between two reports of lost records.
const LOST_INTERVAL: SignedDuration = SignedDuration::from_secs(1);

/// An event in the ring.
#[derive(Debug)]
pub(super) enum RingEvent {
    /// A flow, and its number since the start.
    Flow(u64, Box<Flow>),
    /// The number of records that were lost between the kernel and the agent.
    Lost(Timestamp, u64),
}

/// A bounded queue with one writer and any number of readers. No reader blocks the writer: a reader that is too slow
/// misses events, and gets the number of missed events.
#[derive(Debug)]
pub(super) struct Ring {
    state: Mutex<State>,
    /// Notified after each event.
    added: Notify,
}

#[derive(Debug)]
struct State {
    events: VecDeque<Arc<RingEvent>>,
    /// The position of the oldest event. Earlier events were removed.
    first: u64,
    capacity: usize,
    /// The number of flows since the start.
    flows: u64,
}

/// How many events a ring contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fill {
    pub(super) events: usize,
    pub(super) capacity: usize,
    /// The number of flows since the start.
    pub(super) flows: u64,
}

impl Ring {
    pub(super) fn new(capacity: usize) -> Self {
        let state = State { events: VecDeque::new(), first: 0, capacity: capacity.max(1), flows: 0 };
        Self { state: Mutex::new(state), added: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, event: impl FnOnce(&mut State) -> RingEvent) {
        let mut state = self.state();
        let event = Arc::new(event(&mut state));
        // The oldest event is dropped outside of the lock.
        let oldest = (state.events.len() >= state.capacity).then(|| state.events.pop_front()).flatten();
        state.first += u64::from(oldest.is_some());
        state.events.push_back(event);
        drop(state);
        self.added.notify_waiters();
    }

    /// The position of the oldest event, and the position that the next event will have.
    pub(super) fn bounds(&self) -> Range<u64> {
        let state = self.state();
        state.first..state.end()
    }

    /// Reads at most `most` events from a position on, with their positions. If events were missed, the positions
    /// begin later.
    pub(super) fn read(&self, from: u64, most: usize) -> (Range<u64>, Vec<Arc<RingEvent>>) {
        let state = self.state();
        let from = from.clamp(state.first, state.end());
        let skip = usize::try_from(from - state.first).unwrap_or(usize::MAX);
        let events: Vec<_> = state.events.iter().skip(skip).take(most).cloned().collect();
        (from..from + length(events.len()), events)
    }

    /// Waits until an event at this position has been written.
    pub(super) async fn wait(&self, position: u64) {
        loop {
            let mut notified = std::pin::pin!(self.added.notified());
            // From here on no notification is missed.
            notified.as_mut().enable();
            if self.bounds().end > position {
                return;
            }
            notified.await;
        }
    }

    pub(super) fn fill(&self) -> Fill {
        let state = self.state();
        Fill { events: state.events.len(), capacity: state.capacity, flows: state.flows }
    }
}

impl State {
    fn end(&self) -> u64 {
        self.first + length(self.events.len())
    }
}

fn length(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Writes flows to the ring.
#[derive(Debug)]
pub struct Recorder {
    ring: Arc<Ring>,
    /// The number of lost records that have been reported to readers.
    lost: u64,
    /// When they were last reported.
    last_report: Option<Timestamp>,
}

/// The ring, for readers.
#[derive(Clone, Debug)]
pub struct Recording(pub(super) Arc<Ring>);

/// Creates a ring for `capacity` events. Returns its writer, and the ring for readers.
#[must_use]
pub fn recorder(capacity: usize) -> (Recorder, Recording) {
    let ring = Arc::new(Ring::new(capacity));
    (Recorder { ring: Arc::clone(&ring), lost: 0, last_report: None }, Recording(ring))
}

impl Recorder {
    /// Records a flow.
    pub fn flow(&self, flow: Flow) {
        self.ring.push(|state| {
            state.flows += 1;
            RingEvent::Flow(state.flows, Box::new(flow))
        });
    }

    /// Records how many records have been lost so far between the kernel and the agent. Readers get at most one report
    /// a second.
    pub fn lost(&mut self, total: u64, now: Timestamp) {
        let recently =
            self.last_report.is_some_and(|last_report| now.duration_since(last_report) < LOST_INTERVAL);
        if total > self.lost && !recently {
            let count = total - self.lost;
            self.ring.push(|_| RingEvent::Lost(now, count));
            (self.lost, self.last_report) = (total, Some(now));
        }
    }
}
