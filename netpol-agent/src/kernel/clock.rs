//! The kernel's clock.

use nix::time::{ClockId, clock_gettime};

use crate::model::Monotonic;

/// The current time of `CLOCK_MONOTONIC`, the clock of the records' timestamps (`bpf_ktime_get_ns`).
#[must_use]
pub fn monotonic_now() -> Monotonic {
    // The call can't fail for this clock (clock_gettime(2)).
    let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC) else { return Monotonic::ZERO };
    let (seconds, nanos) = (u64::try_from(now.tv_sec()), u64::try_from(now.tv_nsec()));
    let nanos = seconds.unwrap_or(0).saturating_mul(1_000_000_000).saturating_add(nanos.unwrap_or(0));
    Monotonic::from_nanos(nanos)
}
