//! The pipeline's totals.

use std::collections::BTreeMap;

use netpol_common::Counter;

use super::KernelCounts;
use crate::{
    flow::FlowStats,
    model::{DropReasons, LossCause, Outcome},
    verify::FindingStats,
};

/// Totals since the agent's start.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) packets: u64,
    pub(super) icmp_errors: u64,
    pub(super) drops: u64,
    pub(super) undecodable: u64,
    /// Records of interfaces that were removed.
    pub(super) removed_interface: u64,
    /// The number of dropped packets, by the kernel's number for the reason.
    pub(super) drops_by_reason: BTreeMap<u32, u64>,
    pub(super) outcomes: BTreeMap<Outcome, u64>,
    pub(super) kernel: KernelCounts,
}

impl Totals {
    pub(super) fn records(&self) -> [(&'static str, u64); 3] {
        [("packet", self.packets), ("icmp_error", self.icmp_errors), ("drop", self.drops)]
    }

    /// Returns the number of dropped packets by the name of the reason. Several numbers may have the same name.
    pub(super) fn drops(&self, reasons: &DropReasons) -> Vec<(std::sync::Arc<str>, u64)> {
        let mut named = BTreeMap::new();
        for (reason, count) in &self.drops_by_reason {
            *named.entry(reasons.name(*reason)).or_default() += count;
        }
        named.into_iter().collect()
    }

    pub(super) fn skipped(&self, flows: FlowStats) -> Vec<(&'static str, u64)> {
        let own = [("removed_interface", self.removed_interface), ("forged", flows.forged)];
        let causes = [
            ("fragment_later", Counter::FragmentLater),
            ("truncated", Counter::Truncated),
            ("extension_headers", Counter::ExtensionHeaders),
            ("other_protocol", Counter::OtherProtocol),
        ];
        let counted = causes.into_iter().map(|(name, counter)| (name, self.kernel.get(counter)));
        counted.chain(own).collect()
    }

    pub(super) fn losses(&self, flows: FlowStats, findings: FindingStats) -> Vec<(LossCause, u64)> {
        vec![
            (LossCause::PacketRing, self.kernel.get(Counter::PacketRingFull)),
            (LossCause::DropRing, self.kernel.get(Counter::DropRingFull)),
            (LossCause::UnreadableDrop, self.kernel.get(Counter::DropUnreadable)),
            (LossCause::Decode, self.undecodable),
            (LossCause::FlowTable, flows.evicted_undecided),
            (LossCause::Findings, findings.overflowed),
        ]
    }
}
