//! How fast Events may be written.

use std::time::{Duration, Instant};

/// How many may be written at once, after a time without any.
const BURST: u32 = 25;

/// How often one may be written from then on. Kubernetes keeps Events for an hour, 1 KB each or somewhat more: where
/// nothing is enforced on five thousand nodes, they come to less than 1 GB in etcd.
const EVERY: Duration = Duration::from_secs(30);

/// A bucket of tokens, told by the moment at which it is full again.
#[derive(Debug)]
pub(super) struct Rate {
    full: Instant,
}

impl Rate {
    /// A full one.
    pub(super) fn new(now: Instant) -> Self {
        Self { full: now }
    }

    /// Takes a token; returns how long to wait until it is there.
    pub(super) fn take(&mut self, now: Instant) -> Duration {
        self.full = self.full.max(now) + EVERY;
        self.full.saturating_duration_since(now + EVERY * BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_few() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        let mut take = |seconds: u64| rate.take(start + Duration::from_secs(seconds)).as_secs();
        let waits: Vec<u64> = (0..27).map(|_| take(0)).collect();
        let mut expected = vec![0; 25];
        expected.extend([30, 60]);
        assert_eq!(waits, expected);
        // Both of those have been waited for.
        assert_eq!([take(60), take(100), take(120)], [30, 20, 30]);
        // A long rest gives back the burst, and no more.
        let waits: Vec<u64> = (0..26).map(|_| take(10_000)).collect();
        expected.truncate(26);
        assert_eq!(waits, expected);
    }
}
