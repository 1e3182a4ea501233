//! Lost records, and which attempts they may affect.

use std::time::Duration;

use crate::model::{Monotonic, Protocol};

/// The maximum time between a datagram and its answer: as long as connection tracking waits for one
/// (`nf_conntrack_udp_timeout`). If the record of a request is lost, its answer looks like a request.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Records that were lost in the kernel.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Losses {
    /// The total so far.
    total: u64,
    /// When the total last increased, as far as noticed. The loss itself was earlier.
    noticed: Option<Monotonic>,
}

impl Losses {
    /// Updates the total of lost records.
    pub(super) fn update(&mut self, total: u64, now: Monotonic) {
        if total != self.total {
            *self = Self { total, noticed: Some(now) };
        }
    }

    /// Returns whether a lost record may affect the result of an attempt that began at this time. The attempt must have
    /// been undecided when the last loss was noticed.
    pub(super) fn may_touch(&self, protocol: Protocol, began: Monotonic) -> bool {
        let before = if protocol == Protocol::Udp { ANSWER_TIMEOUT } else { Duration::ZERO };
        self.noticed.is_some_and(|noticed| began <= noticed + before)
    }
}
