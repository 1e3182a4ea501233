//! The causes of lost records and lost output.

use serde::{Deserialize, Serialize};

/// Where records or output were lost between the kernel and the sinks. Every loss is counted under one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossCause {
    /// In the kernel: the ring buffer had no room for a packet's record.
    PacketRing,
    /// In the kernel: the ring buffer had no room for a drop's record.
    DropRing,
    /// In the kernel: a dropped packet could not be read.
    UnreadableDrop,
    /// The bytes are not a record that this agent knows.
    Decode,
    /// The flow table was full, and an attempt was evicted before it was decided.
    FlowTable,
    /// A finding could not be opened: too many were open.
    Findings,
    /// The reader of standard output was too slow.
    SlowReader,
    /// More Kubernetes Events were due than the rate limit allows.
    Events,
}

impl LossCause {
    /// Returns the name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PacketRing => "packet_ring_full",
            Self::DropRing => "drop_ring_full",
            Self::UnreadableDrop => "drop_unreadable",
            Self::Decode => "decode",
            Self::FlowTable => "flow_table_full",
            Self::Findings => "too_many_findings",
            Self::SlowReader => "slow_reader",
            Self::Events => "too_many_events",
        }
    }
}
