//! Exponential backoff between attempts.
//!
//! The wait doubles with each failure, up to a limit, and is partly random.

use std::time::Duration;

/// The longest wait after the first failure.
const INITIAL_WAIT: Duration = Duration::from_millis(250);

/// The longest wait. A server that works again is noticed within this time.
const MAX_WAIT: Duration = Duration::from_secs(15);

/// The wait between attempts. It doubles with each consecutive failure.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Resets the wait. To be called after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Returns the wait after a failure: what the server asks for (`asked`), plus the backoff. Half of the backoff is
    /// random (`random`, 0 to 1), so that a thousand nodes do not retry at the same time.
    pub fn next(&mut self, asked: Option<Duration>, random: f64) -> Duration {
        let doubled = INITIAL_WAIT.saturating_mul(1 << self.failures.min(16)).min(MAX_WAIT);
        self.failures = self.failures.saturating_add(1);
        doubled.mul_f64(0.5 + random / 2.0) + asked.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_a_limit() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..9).map(|_| backoff.next(None, 1.0).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
        assert_eq!(backoff.next(None, 0.0).as_millis(), 7500);
        backoff.reset();
        assert_eq!(backoff.next(Some(Duration::from_secs(3)), 0.0).as_millis(), 3125);
    }
}
