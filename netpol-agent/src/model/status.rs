//! How the agent is doing: sizes and totals, several times a second.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{FindingKind, Kinds, LossCause, PolicyKind};

/// The cluster's nodes by name, each with the first of its addresses.
pub type Nodes = BTreeMap<Arc<str>, IpAddr>;

/// Sizes and totals at one moment. Totals count from the agent's start.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// When.
    pub time: Timestamp,
    /// Records read from the kernel, by kind: `packet`, `icmp_error`, `drop`.
    pub records: [(&'static str, u64); 3],
    /// Packets that yield no record, by cause.
    pub packets_skipped: Vec<(&'static str, u64)>,
    /// Packets that the kernel dropped, by its reason, sorted by reason.
    pub drops: Vec<(Arc<str>, u64)>,
    /// What was lost, by cause.
    pub losses: Vec<(LossCause, u64)>,
    /// Interfaces that have the programs.
    pub interfaces: usize,
    /// Pods of this node none of whose addresses is behind such an interface; `None` where the node's name is not known,
    /// or not all interfaces have been found yet.
    pub pods_unseen: Option<usize>,
    /// Connections in the table.
    pub flow_table: usize,
    /// Findings that are open, by kind.
    pub findings_open: [(FindingKind, usize); 2],
    /// The generation of the cluster state in force; 0 for none.
    pub generation: u64,
    /// How long ago the cluster state was last known to be current.
    pub age: Duration,
    /// Kinds of objects that are not known, or not well enough to judge by.
    pub unknown: Kinds,
    /// Whether the agent sees and knows as much as it can get: all interfaces have been found, a cluster state is in force,
    /// and no kind of object without which nothing can be judged is still to be listed.
    pub is_ready: bool,
    /// `group/version` by which the API server has each kind of policy.
    pub policy_versions: Vec<(PolicyKind, String)>,
    /// The cluster's nodes, where they have changed since the last status.
    pub nodes: Option<Nodes>,
}

impl Status {
    /// All that the kernel lost between the packets and the agent.
    #[must_use]
    pub fn kernel_losses(&self) -> u64 {
        let is_kernel = |cause: LossCause| {
            matches!(cause, LossCause::PacketRing | LossCause::DropRing | LossCause::UnreadableDrop)
        };
        self.losses.iter().filter(|(cause, _)| is_kernel(*cause)).map(|(_, total)| total).sum()
    }
}
