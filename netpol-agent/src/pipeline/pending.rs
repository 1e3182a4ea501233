//! The queue of decided attempts that wait before they are judged, or before their verdict is reported.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use hashbrown::HashMap;

use crate::{
    identity::IP_REPORT_TIMEOUT,
    model::{Attempt, ConntrackQuery, Flow, Monotonic, Outcome, Protocol},
};

/// How long to wait for an answer of connection tracking. It usually comes before any other input.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// How long after its decision a wrong-looking attempt is judged again. The enforcer's watch and the agent's may be
/// connected to different API servers, so the agent may receive later the change that explains the connection.
pub(super) const RECHECK_AFTER: Duration = Duration::from_secs(2);

/// The maximum number of waiting attempts. If the queue is full, further attempts do not wait.
const CAPACITY: usize = 65_536;

/// What an attempt waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// For connection tracking, which is queried for the endpoint that a Service's address was translated to.
    Endpoint,
    /// For the API, which has not reported yet that a new pod of this node was created, or that an old one was deleted.
    Report,
    /// For connection tracking, which is queried for the side that opened the conversation.
    Opener,
    /// For a second judgement: the result looks wrong, and later reports may change it.
    Recheck,
}

/// The key of an attempt in the queue: when it stops waiting, and a sequence number.
type QueueKey = (Monotonic, u64);

/// Identifies similar attempts: the two addresses, the protocol and the destination port.
type ConnectionKey = (IpAddr, IpAddr, Protocol, u16);

/// All waiting attempts, ordered by the time at which they stop waiting.
#[derive(Debug, Default)]
pub(super) struct PendingQueue {
    attempts: BTreeMap<QueueKey, (Wait, Attempt)>,
    /// The keys of the attempts that wait for connection tracking, by the id of the query.
    queries: HashMap<u64, QueueKey>,
    /// The number of similar attempts that wait for a second judgement.
    rechecks: HashMap<ConnectionKey, u32>,
    next: u64,
}

impl PendingQueue {
    /// Returns the maximum time from the decision on an attempt to its last verdict.
    pub(super) const fn max_delay() -> Duration {
        let wait = ANSWER_TIMEOUT.saturating_mul(2).saturating_add(IP_REPORT_TIMEOUT);
        wait.saturating_add(RECHECK_AFTER)
    }

    /// Queues an attempt until connection tracking answers the returned query; `None` if the queue is full.
    pub(super) fn ask(&mut self, wait: Wait, attempt: &Attempt) -> Option<ConntrackQuery> {
        let key = self.push(attempt.decided + ANSWER_TIMEOUT, wait, attempt)?;
        self.queries.insert(key.1, key);
        Some(ConntrackQuery { id: key.1, tuple: attempt.tuple })
    }

    /// Removes and returns the attempt that a query is about.
    pub(super) fn answered(&mut self, query: &ConntrackQuery) -> Option<(Wait, Attempt)> {
        let key = self.queries.remove(&query.id)?;
        self.attempts.remove(&key)
    }

    /// Queues an attempt until the API reports its pods or `until` is reached. Returns false if the queue is full.
    pub(super) fn await_report(&mut self, until: Monotonic, attempt: &Attempt) -> bool {
        self.push(until, Wait::Report, attempt).is_some()
    }

    /// Removes and returns the attempts whose report has been received.
    pub(super) fn reported(&mut self, still_waits: impl Fn(&Attempt) -> bool) -> Vec<Attempt> {
        let is_over = |(wait, attempt): &(Wait, Attempt)| *wait == Wait::Report && !still_waits(attempt);
        let over = self.attempts.extract_if(.., |_, pending| is_over(pending));
        over.map(|(_, (_, attempt))| attempt).collect()
    }

    /// Queues a flow's attempt for a second judgement, if it looks wrong. An attempt that looks right is queued too
    /// while a similar one waits, because a finding must not be resolved before it is opened. Returns whether the
    /// attempt was queued.
    pub(super) fn push_if_suspect(&mut self, flow: &Flow) -> bool {
        let connection_key = connection_key(&flow.attempt);
        let is_suspect = match flow.outcome {
            Outcome::NotEnforced | Outcome::OverBlocked => true,
            Outcome::Conforming | Outcome::Enforced => {
                !self.rechecks.is_empty() && self.rechecks.contains_key(&connection_key)
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
        *self.rechecks.entry(connection_key).or_default() += 1;
        true
    }

    /// Removes and returns the next attempt that has waited long enough.
    pub(super) fn pop_due(&mut self, now: Monotonic) -> Option<(Wait, Attempt)> {
        let first = self.attempts.first_entry().filter(|first| first.key().0 <= now)?;
        let (key, (wait, attempt)) = first.remove_entry();
        match wait {
            Wait::Endpoint | Wait::Opener => {
                self.queries.remove(&key.1);
            }
            Wait::Recheck => self.remove_recheck(&attempt),
            Wait::Report => {}
        }
        Some((wait, attempt))
    }

    /// Returns whether an answer of connection tracking is outstanding.
    pub(super) fn awaits_answers(&self) -> bool {
        !self.queries.is_empty()
    }

    /// Removes and returns the next attempt that does not wait for connection tracking, whether it is due or not.
    pub(super) fn pop_without_query(&mut self) -> Option<(Wait, Attempt)> {
        let has_no_query = |wait: Wait| matches!(wait, Wait::Report | Wait::Recheck);
        let key = *self.attempts.iter().find(|(_, (wait, _))| has_no_query(*wait))?.0;
        let (wait, attempt) = self.attempts.remove(&key)?;
        if wait == Wait::Recheck {
            self.remove_recheck(&attempt);
        }
        Some((wait, attempt))
    }

    fn push(&mut self, until: Monotonic, wait: Wait, attempt: &Attempt) -> Option<QueueKey> {
        if self.attempts.len() >= CAPACITY {
            return None;
        }
        let key = (until, self.next);
        self.next += 1;
        self.attempts.insert(key, (wait, *attempt));
        Some(key)
    }

    /// Decrements the number of similar attempts that wait for a second judgement.
    fn remove_recheck(&mut self, attempt: &Attempt) {
        let connection_key = connection_key(attempt);
        if let Some(count) = self.rechecks.get_mut(&connection_key) {
            *count -= 1;
            if *count == 0 {
                self.rechecks.remove(&connection_key);
            }
        }
    }
}

fn connection_key(attempt: &Attempt) -> ConnectionKey {
    let tuple = &attempt.tuple;
    (tuple.source.address, tuple.destination.address, tuple.protocol, tuple.destination.port)
}
