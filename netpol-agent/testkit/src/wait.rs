//! Waiting for what has to happen.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Far more than anything takes that is waited for, on a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// How often to look.
const INTERVAL: Duration = Duration::from_millis(20);

/// Waits for something that has to happen, however slow the machine is.
///
/// # Panics
/// It has not happened after [`PATIENCE`].
pub fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(start.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}");
        thread::sleep(INTERVAL);
    }
}
