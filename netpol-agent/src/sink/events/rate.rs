//! The rate limit for Events (a token bucket).

use std::time::{Duration, Instant};

/// The number of Events that may be written at once, after a time without any.
const BURST: u32 = 25;

/// The interval between Events after that. Kubernetes keeps Events for an hour, and each has 1 KB or somewhat more. If
/// no policy is enforced on five thousand nodes, the Events need less than 1 GB in etcd.
const INTERVAL: Duration = Duration::from_secs(30);

/// A token bucket, stored as the time at which it is full again.
#[derive(Debug)]
pub(super) struct Rate {
    full: Instant,
}

impl Rate {
    /// Creates a full bucket.
    pub(super) fn new(now: Instant) -> Self {
        Self { full: now }
    }

    /// Takes a token. Returns how long to wait until the token is available.
    pub(super) fn take(&mut self, now: Instant) -> Duration {
        self.full = self.full.max(now) + INTERVAL;
        self.full.saturating_duration_since(now + INTERVAL * BURST)
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
        // The caller has waited for both tokens.
        assert_eq!([take(60), take(100), take(120)], [30, 20, 30]);
        // After a long pause the bucket is full, and has no more than the burst.
        let waits: Vec<u64> = (0..26).map(|_| take(10_000)).collect();
        expected.truncate(26);
        assert_eq!(waits, expected);
    }
}
