//! When records were lost, and which attempts that may touch.

use crate::model::Protocol;

/// How long a datagram's answer may come after it: as long as connection tracking waits for one
/// (`nf_conntrack_udp_timeout`). If the record of a question is lost, its answer looks like a question.
const ANSWER_NS: u64 = 30_000_000_000;

/// What is known of records that were lost in the kernel.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Losses {
    /// How many there were so far.
    total: u64,
    /// When it was last noticed that there were more. The loss itself was earlier.
    noticed_ns: Option<u64>,
}

impl Losses {
    /// Takes note of how many there were until now.
    pub(super) fn note(&mut self, total: u64, now_ns: u64) {
        if total != self.total {
            *self = Self { total, noticed_ns: Some(now_ns) };
        }
    }

    /// Whether a record may be lost that would have told otherwise of an attempt which began at this time, and which
    /// was not decided when the last loss was noticed.
    pub(super) fn may_touch(&self, protocol: Protocol, first_ns: u64) -> bool {
        let before_ns = if protocol == Protocol::Udp { ANSWER_NS } else { 0 };
        self.noticed_ns.is_some_and(|noticed| first_ns <= noticed.saturating_add(before_ns))
    }
}
