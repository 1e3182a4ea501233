//! Attempts that look wrong, kept for a while: news that an enforcer has acted on may reach this agent later.

use std::{collections::VecDeque, net::IpAddr};

use hashbrown::HashMap;

use crate::model::{Attempt, Flow, Outcome, Protocol};

/// How long news may take to come here that an enforcer has had. Two watches of one cluster may hang on different API
/// servers.
pub const RECHECK_AFTER_NS: u64 = 2_000_000_000;

/// Attempts held at a time; more are told at once.
const MOST: usize = 32_768;

/// What makes two attempts about the same: the addresses, the protocol and the destination's port.
type Like = (IpAddr, IpAddr, Protocol, u16);

/// Attempts to be judged again, in the order in which they were decided.
#[derive(Debug, Default)]
pub struct RecheckQueue {
    queue: VecDeque<Attempt>,
    /// How many of the queue are alike.
    alike: HashMap<Like, u32>,
}

impl RecheckQueue {
    /// Keeps a flow's attempt if it looks wrong; or if it looks right while one like it is kept, for a finding must not
    /// be resolved before it is opened. Whether it does.
    pub fn push_if_suspect(&mut self, flow: &Flow) -> bool {
        let like = like(&flow.attempt);
        let holds = match flow.outcome {
            Outcome::NotEnforced | Outcome::OverBlocked => true,
            Outcome::Conforming | Outcome::Enforced => self.alike.contains_key(&like),
            Outcome::PresumedEnforced
            | Outcome::Unanswered
            | Outcome::Undecidable
            | Outcome::NotApplicable => false,
        };
        if !holds || self.queue.len() >= MOST {
            return false;
        }
        *self.alike.entry(like).or_default() += 1;
        self.queue.push_back(flow.attempt);
        true
    }

    /// The next one that has been kept for long enough.
    pub fn pop_due(&mut self, now_ns: u64) -> Option<Attempt> {
        let attempt = self
            .queue
            .pop_front_if(|attempt| attempt.decided_ns.saturating_add(RECHECK_AFTER_NS) <= now_ns)?;
        let like = like(&attempt);
        if let Some(count) = self.alike.get_mut(&like) {
            *count -= 1;
            if *count == 0 {
                self.alike.remove(&like);
            }
        }
        Some(attempt)
    }
}

fn like(attempt: &Attempt) -> Like {
    let tuple = &attempt.tuple;
    (tuple.source.address, tuple.destination.address, tuple.protocol, tuple.destination.port)
}
