//! What goes if the flow table is full.

use std::net::IpAddr;

use hashbrown::HashMap;

use super::{EVICTION_TRIES, FlowTable};
use crate::{
    flow::entry::Entry,
    model::{Monotonic, Tuple},
};

impl FlowTable {
    /// Makes room for an attempt with this tuple.
    pub(super) fn make_room(&mut self, tuple: &Tuple) {
        if self.entries.len() >= self.limits.entries && !self.entries.contains_key(tuple) {
            self.evict();
        }
    }

    /// Evicts one attempt: a decided one if there is one among those that are checked next, otherwise one of the pod that has
    /// the most of them. So a pod that floods the table evicts its own attempts. One that has arrived stays if possible.
    fn evict(&mut self) {
        let mut passed = Vec::new();
        let mut evicted = None;
        while evicted.is_none() && passed.len() < EVICTION_TRIES {
            let Some((at, tuple)) = self.queue.pop() else { break };
            let Some(entry) = self.entries.get(&tuple).filter(|entry| entry.scheduled_at == at) else {
                continue;
            };
            if entry.decided.is_some() {
                evicted = Some(tuple);
                self.stats.evicted += 1;
            } else {
                passed.push((at, tuple));
            }
        }
        if evicted.is_none()
            && let Some(index) = self.most_frequent(&passed)
        {
            evicted = Some(passed.swap_remove(index).1);
            self.stats.evicted_undecided += 1;
        }
        for (at, tuple) in passed {
            self.queue.push(at, tuple);
        }
        if let Some(tuple) = evicted {
            self.forget(&tuple);
        }
    }

    /// Returns the index of an attempt whose source has the most attempts in the list, preferably one that has not arrived.
    fn most_frequent(&self, attempts: &[(Monotonic, Tuple)]) -> Option<usize> {
        let source = |tuple: &Tuple| {
            let interface = self.entries.get(tuple).and_then(Entry::source);
            interface.ok_or(tuple.source.address)
        };
        let mut counts: HashMap<Result<u32, IpAddr>, usize> = HashMap::new();
        for (_, tuple) in attempts {
            *counts.entry(source(tuple)).or_default() += 1;
        }
        let rank = |tuple: &Tuple| {
            let has_arrived = self.entries.get(tuple).is_some_and(Entry::has_got_through);
            (!has_arrived, counts.get(&source(tuple)).copied())
        };
        (0..attempts.len()).rev().max_by_key(|index| rank(&attempts[*index].1))
    }
}
