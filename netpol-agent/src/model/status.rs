//! The agent's status: sizes and totals, several times a second.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{FindingKind, Kinds, LossCause, PolicyKind};

/// The cluster's nodes by name, each with its first address.
pub type Nodes = BTreeMap<Arc<str>, IpAddr>;

/// Sizes and totals at one point in time. Totals count from the agent's start.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// The time of the status.
    pub time: Timestamp,
    /// Records read from the kernel, by kind: `packet`, `icmp_error`, `drop`.
    pub records: [(&'static str, u64); 3],
    /// Packets that cause no record, by cause.
    pub packets_skipped: Vec<(&'static str, u64)>,
    /// Packets that the kernel dropped, by drop reason, sorted by reason.
    pub drops: Vec<(Arc<str>, u64)>,
    /// Losses, by cause.
    pub losses: Vec<(LossCause, u64)>,
    /// The number of interfaces that the programs are attached to.
    pub interfaces: usize,
    /// The number of this node's pods that the agent does not observe: none of their addresses is behind an interface
    /// with the programs. `None` if the node's name is not known, or not all interfaces have been found yet.
    pub pods_unseen: Option<usize>,
    /// The number of connections in the flow table.
    pub flow_table: usize,
    /// The number of open findings, by kind.
    pub findings_open: [(FindingKind, usize); 2],
    /// The generation of the current cluster state; 0 if there is none.
    pub generation: u64,
    /// How long ago the cluster state was last known to be current.
    pub age: Duration,
    /// The kinds of objects that are not known, or not well enough to judge by.
    pub unknown: Kinds,
    /// Whether the agent is ready: all interfaces have been found, there is a cluster state, and no essential kind of
    /// object still waits for its first list.
    pub is_ready: bool,
    /// The `group/version` in which the API server serves each kind of policy.
    pub policy_versions: Vec<(PolicyKind, String)>,
    /// The cluster's nodes, if they have changed since the last status.
    pub nodes: Option<Nodes>,
}

impl Status {
    /// Returns the number of records that the kernel lost.
    #[must_use]
    pub fn kernel_losses(&self) -> u64 {
        let is_kernel = |cause: LossCause| {
            matches!(cause, LossCause::PacketRing | LossCause::DropRing | LossCause::UnreadableDrop)
        };
        self.losses.iter().filter(|(cause, _)| is_kernel(*cause)).map(|(_, total)| total).sum()
    }
}
