//! The last flows, for those that ask later.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use crate::model::Flow;

/// How often it is told at most that records were lost.
const LOST_EVERY: SignedDuration = SignedDuration::from_secs(1);

/// What readers get.
#[derive(Debug)]
pub(super) enum RingEvent {
    /// A judged connection, and its number since the start.
    Flow(u64, Box<Flow>),
    /// So many records were lost between kernel and agent.
    Lost(Timestamp, u64),
}

/// A bounded queue with one writer and any number of readers, none of which holds up the writer: one that is too slow
/// misses what it was too slow for, and learns how much that was.
#[derive(Debug)]
pub(super) struct Ring {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug)]
struct State {
    events: VecDeque<Arc<RingEvent>>,
    /// The position of the oldest event: those before it are gone.
    first: u64,
    capacity: usize,
    /// Flows ever written.
    flows: u64,
}

/// How full a ring is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fill {
    pub(super) events: usize,
    pub(super) capacity: usize,
    /// Flows ever written.
    pub(super) flows: u64,
}

impl Ring {
    pub(super) fn new(capacity: usize) -> Self {
        let state = State { events: VecDeque::new(), first: 0, capacity: capacity.max(1), flows: 0 };
        Self { state: Mutex::new(state), news: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, event: impl FnOnce(&mut State) -> RingEvent) {
        let mut state = self.state();
        let event = Arc::new(event(&mut state));
        // The oldest is let go of outside of the lock.
        let oldest = (state.events.len() >= state.capacity).then(|| state.events.pop_front()).flatten();
        state.first += u64::from(oldest.is_some());
        state.events.push_back(event);
        drop(state);
        self.news.notify_waiters();
    }

    /// From the oldest event's position to that of the next one to come.
    pub(super) fn bounds(&self) -> Range<u64> {
        let state = self.state();
        state.first..state.end()
    }

    /// Up to so many events from a position on, and their positions, which begin later if some were missed.
    pub(super) fn read(&self, from: u64, most: usize) -> (Range<u64>, Vec<Arc<RingEvent>>) {
        let state = self.state();
        let from = from.clamp(state.first, state.end());
        let skip = usize::try_from(from - state.first).unwrap_or(usize::MAX);
        let events: Vec<_> = state.events.iter().skip(skip).take(most).cloned().collect();
        (from..from + length(events.len()), events)
    }

    /// Waits until there is an event at this position, or has been.
    pub(super) async fn wait(&self, position: u64) {
        loop {
            let mut news = std::pin::pin!(self.news.notified());
            // From here on no news is missed.
            news.as_mut().enable();
            if self.bounds().end > position {
                return;
            }
            news.await;
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

/// Where flows go in.
#[derive(Debug)]
pub struct Recorder {
    ring: Arc<Ring>,
    /// Lost records that readers know of, and when they were told last.
    lost: u64,
    told: Option<Timestamp>,
}

/// What readers read from.
#[derive(Clone, Debug)]
pub struct Recording(pub(super) Arc<Ring>);

/// A buffer for so many flows: its way in, and its way out.
#[must_use]
pub fn recorder(capacity: usize) -> (Recorder, Recording) {
    let ring = Arc::new(Ring::new(capacity));
    (Recorder { ring: Arc::clone(&ring), lost: 0, told: None }, Recording(ring))
}

impl Recorder {
    /// A judged connection.
    pub fn flow(&self, flow: Flow) {
        self.ring.push(|state| {
            state.flows += 1;
            RingEvent::Flow(state.flows, Box::new(flow))
        });
    }

    /// How many records have been lost so far between kernel and agent. Told at most once a second.
    pub fn lost(&mut self, total: u64, now: Timestamp) {
        let recently = self.told.is_some_and(|told| now.duration_since(told) < LOST_EVERY);
        if total > self.lost && !recently {
            let count = total - self.lost;
            self.ring.push(|_| RingEvent::Lost(now, count));
            (self.lost, self.told) = (total, Some(now));
        }
    }
}
