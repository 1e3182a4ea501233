//! When records were lost, and which attempts that may touch.

use std::time::Duration;

use crate::model::{Monotonic, Protocol};

/// How long a datagram's answer may come after it: as long as connection tracking waits for one
/// (`nf_conntrack_udp_timeout`). If the record of a question is lost, its answer looks like a question.
const ANSWER: Duration = Duration::from_secs(30);

/// What is known of records that were lost in the kernel.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Losses {
    /// How many there were so far.
    total: u64,
    /// When it was last noticed that there were more. The loss itself was earlier.
    noticed: Option<Monotonic>,
}

impl Losses {
    /// Takes note of how many there were until now.
    pub(super) fn note(&mut self, total: u64, now: Monotonic) {
        if total != self.total {
            *self = Self { total, noticed: Some(now) };
        }
    }

    /// Whether a record may be lost that would have told otherwise of an attempt which began at this time, and which
    /// was not decided when the last loss was noticed.
    pub(super) fn may_touch(&self, protocol: Protocol, began: Monotonic) -> bool {
        let before = if protocol == Protocol::Udp { ANSWER } else { Duration::ZERO };
        self.noticed.is_some_and(|noticed| began <= noticed + before)
    }
}
