//! Decided attempts that wait before they are judged, or before their verdict is reported.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use hashbrown::HashMap;

use crate::{
    identity::IP_REPORT_TIMEOUT,
    model::{Attempt, ConntrackQuery, Flow, Monotonic, Outcome, Protocol},
};

/// How long an answer of connection tracking may take. It usually comes before any other input.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// How long after a wrong-looking attempt was decided it is judged once more: an enforcer's watch and the agent's may
/// hang on different API servers, and news that excuses the connection may come to the agent later.
pub(super) const RECHECK_AFTER: Duration = Duration::from_secs(2);

/// Attempts that wait at a time. What comes on top of them does not wait.
const CAPACITY: usize = 65_536;

/// What an attempt waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Connection tracking is asked which endpoint a Service's address was translated to.
    Endpoint,
    /// The API has not told yet of a pod that is new on this node, or of the end of one that may be gone.
    Report,
    /// Connection tracking is asked which side opened the conversation.
    Opener,
    /// It looks wrong, and is judged once more by what has become known since.
    Recheck,
}

/// The place of an attempt in the queue: when it stops waiting, and the order in which it came.
type Place = (Monotonic, u64);

/// Two attempts with the same addresses, protocol and destination port are about the same.
type Like = (IpAddr, IpAddr, Protocol, u16);

/// All attempts that wait, by the time at which they stop waiting.
#[derive(Debug, Default)]
pub(super) struct PendingQueue {
    attempts: BTreeMap<Place, (Wait, Attempt)>,
    /// Where the attempts are that wait for connection tracking, by the number of the query.
    queries: HashMap<u64, Place>,
    /// How many of those that are judged once more are about the same.
    rechecks: HashMap<Like, u32>,
    next: u64,
}

impl PendingQueue {
    /// The longest time from the decision on an attempt to its last verdict.
    pub(super) const fn max_delay() -> Duration {
        let wait = ANSWER_TIMEOUT.saturating_mul(2).saturating_add(IP_REPORT_TIMEOUT);
        wait.saturating_add(RECHECK_AFTER)
    }

    /// Keeps an attempt until connection tracking answers; `None` where there is no room.
    pub(super) fn ask(&mut self, wait: Wait, attempt: &Attempt) -> Option<ConntrackQuery> {
        let place = self.push(attempt.decided + ANSWER_TIMEOUT, wait, attempt)?;
        self.queries.insert(place.1, place);
        Some(ConntrackQuery { id: place.1, tuple: attempt.tuple })
    }

    /// Takes out the attempt that a query is about.
    pub(super) fn answered(&mut self, query: &ConntrackQuery) -> Option<(Wait, Attempt)> {
        let place = self.queries.remove(&query.id)?;
        self.attempts.remove(&place)
    }

    /// Keeps an attempt until a report of the API is due; whether there was room.
    pub(super) fn await_report(&mut self, until: Monotonic, attempt: &Attempt) -> bool {
        self.push(until, Wait::Report, attempt).is_some()
    }

    /// Takes out the attempts whose report has come.
    pub(super) fn reported(&mut self, still_waits: impl Fn(&Attempt) -> bool) -> Vec<Attempt> {
        let is_over = |(wait, attempt): &(Wait, Attempt)| *wait == Wait::Report && !still_waits(attempt);
        let over = self.attempts.extract_if(.., |_, pending| is_over(pending));
        over.map(|(_, (_, attempt))| attempt).collect()
    }

    /// Keeps a flow's attempt for another verdict if it looks wrong; or if it looks right while one about the same waits,
    /// for a finding must not be resolved before it is opened. Whether it is kept.
    pub(super) fn push_if_suspect(&mut self, flow: &Flow) -> bool {
        let like = like(&flow.attempt);
        let is_suspect = match flow.outcome {
            Outcome::NotEnforced | Outcome::OverBlocked => true,
            Outcome::Conforming | Outcome::Enforced => {
                !self.rechecks.is_empty() && self.rechecks.contains_key(&like)
            }
            Outcome::PresumedEnforced
            | Outcome::Unanswered
            | Outcome::Undecidable
            | Outcome::NotApplicable => false,
        };
        let until = flow.attempt.decided + RECHECK_AFTER;
        if !is_suspect || self.push(until, Wait::Recheck, &flow.attempt).is_none() {
            return false;
        }
        *self.rechecks.entry(like).or_default() += 1;
        true
    }

    /// Takes out the next attempt that has waited for long enough.
    pub(super) fn pop_due(&mut self, now: Monotonic) -> Option<(Wait, Attempt)> {
        let first = self.attempts.first_entry().filter(|first| first.key().0 <= now)?;
        let (place, (wait, attempt)) = first.remove_entry();
        match wait {
            Wait::Endpoint | Wait::Opener => {
                self.queries.remove(&place.1);
            }
            Wait::Recheck => self.forget(&attempt),
            Wait::Report => {}
        }
        Some((wait, attempt))
    }

    /// Whether an answer of connection tracking is still to come.
    pub(super) fn awaits_answers(&self) -> bool {
        !self.queries.is_empty()
    }

    /// Takes out the next attempt, however long it would still wait, unless it waits for connection tracking.
    pub(super) fn pop_unasked(&mut self) -> Option<(Wait, Attempt)> {
        let is_unasked = |wait: Wait| matches!(wait, Wait::Report | Wait::Recheck);
        let place = *self.attempts.iter().find(|(_, (wait, _))| is_unasked(*wait))?.0;
        let (wait, attempt) = self.attempts.remove(&place)?;
        if wait == Wait::Recheck {
            self.forget(&attempt);
        }
        Some((wait, attempt))
    }

    fn push(&mut self, until: Monotonic, wait: Wait, attempt: &Attempt) -> Option<Place> {
        if self.attempts.len() >= CAPACITY {
            return None;
        }
        let place = (until, self.next);
        self.next += 1;
        self.attempts.insert(place, (wait, *attempt));
        Some(place)
    }

    /// One less is judged once more.
    fn forget(&mut self, attempt: &Attempt) {
        let like = like(attempt);
        if let Some(count) = self.rechecks.get_mut(&like) {
            *count -= 1;
            if *count == 0 {
                self.rechecks.remove(&like);
            }
        }
    }
}

fn like(attempt: &Attempt) -> Like {
    let tuple = &attempt.tuple;
    (tuple.source.address, tuple.destination.address, tuple.protocol, tuple.destination.port)
}
