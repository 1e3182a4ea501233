//! Where evidence is lost.

use serde::{Deserialize, Serialize};

/// Where something was lost on its way from the kernel to whoever is told. Nothing is lost without being counted here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossCause {
    /// In the kernel: the ring buffer had no room for a packet's record.
    PacketRing,
    /// In the kernel: the ring buffer had no room for a drop's record.
    DropRing,
    /// In the kernel: a dropped packet could not be read.
    UnreadableDrop,
    /// The bytes are no record that this agent knows.
    Decode,
    /// The connection table was full, and an attempt was evicted before it was decided.
    FlowTable,
    /// There were too many open findings to open another one.
    Findings,
    /// Nobody read the lines on standard output fast enough.
    SlowReader,
    /// There were more Events than may be written.
    Events,
}

impl LossCause {
    /// Its name in metrics.
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
