//! Waits for a condition.

use std::{
    thread,
    time::{Duration, Instant},
};

/// The timeout. It is far longer than any condition takes, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// How often to check the condition.
const INTERVAL: Duration = Duration::from_millis(20);

/// Waits until a condition is met, even on a slow machine.
///
/// # Panics
/// The condition is not met after [`PATIENCE`].
pub fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(start.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}");
        thread::sleep(INTERVAL);
    }
}
