//! Packets that a pod sent in another's name. Where they arrive, they are evidence of nothing.

use std::{collections::VecDeque, time::Duration};

use hashbrown::HashMap;

use crate::model::{Monotonic, PacketKind, Tuple};

/// How long after it was sent a forged packet arrives, at most. It usually takes microseconds.
const MAX_DELAY: Duration = Duration::from_secs(1);

/// The most packets that are remembered: what one pod sends in [`MAX_DELAY`] when it sends nothing but them.
const CAPACITY: usize = 65_536;

/// What distinguishes a forged packet from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Forgery {
    /// A packet, by its tuple and its TCP sequence number.
    Packet(Tuple, u32, PacketKind),
    /// An ICMP error, by the tuple that it quotes.
    IcmpError(Tuple),
}

/// The packets that pods have just sent in others' names.
#[derive(Debug, Default)]
pub(super) struct Forgeries {
    recent: VecDeque<(Monotonic, Forgery)>,
    /// How many of each are in `recent`.
    counts: HashMap<Forgery, u32>,
    total: u64,
}

impl Forgeries {
    /// Returns how many there have been.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Counts a forged packet that was recognised where it arrived.
    pub(super) fn count(&mut self) {
        self.total += 1;
    }

    /// Remembers a forged packet where it is sent.
    pub(super) fn sent(&mut self, forgery: Forgery, now: Monotonic) {
        self.total += 1;
        while self.recent.len() >= CAPACITY
            || self.recent.front().is_some_and(|(at, _)| now.since(*at) > MAX_DELAY)
        {
            self.forget_first();
        }
        self.recent.push_back((now, forgery));
        *self.counts.entry(forgery).or_default() += 1;
    }

    fn forget_first(&mut self) {
        let Some((_, first)) = self.recent.pop_front() else { return };
        if let Some(count) = self.counts.get_mut(&first) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&first);
            }
        }
    }

    /// Returns whether a packet that arrives may be a forged one.
    pub(super) fn contains(&self, forgery: &Forgery, now: Monotonic) -> bool {
        self.counts.contains_key(forgery)
            && self.recent.iter().rev().any(|(at, known)| known == forgery && now.since(*at) <= MAX_DELAY)
    }
}
