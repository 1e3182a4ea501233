//! Points in time of the kernel's monotonic clock.

use std::{
    ops::{Add, AddAssign, Sub},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// A point in time of `CLOCK_MONOTONIC`, in nanoseconds since boot, as `bpf_ktime_get_ns` returns it.
///
/// Points in time and durations are different types: the difference of two points in time is a [`Duration`]. Arithmetic
/// saturates, so that a record with any time can't make the agent panic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Monotonic(u64);

impl Monotonic {
    /// Boot, the earliest point in time.
    pub const ZERO: Self = Self(0);

    /// The latest point in time.
    pub const MAX: Self = Self(u64::MAX);

    /// Creates a point in time from nanoseconds since boot.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Creates a point in time from seconds since boot.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// Returns the nanoseconds since boot.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns the duration from an earlier point in time to this one; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Monotonic {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

impl AddAssign<Duration> for Monotonic {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Monotonic {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration)))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        let (second, early, late) = (Duration::from_secs(1), Monotonic::ZERO, Monotonic::MAX);
        assert_eq!(early - second, early);
        assert_eq!(late + second, late);
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(Monotonic::from_secs(3).since(Monotonic::from_secs(1)), 2 * second);
        assert_eq!((Monotonic::from_secs(2) + second).as_nanos(), 3_000_000_000);
        assert_eq!(early + Duration::MAX, late);
    }
}
