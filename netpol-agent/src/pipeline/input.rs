//! The inputs of the pipeline.

use std::{net::IpAddr, sync::Arc};

use jiff::Timestamp;
use netpol_common::Counter;
use serde::{Deserialize, Serialize};

use crate::{
    model::{ConntrackEntry, ConntrackQuery, Monotonic, Place},
    policy::ClusterView,
};

/// One input of the pipeline.
///
/// The order of inputs matters: all records up to a tick come before it. The counters, which show how many records are
/// missing, come between those records and the tick.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// The bytes of one record of the ring buffer.
    Record(&'a [u8]),
    /// A change of the node's pod interfaces.
    Interface(InterfaceChange),
    /// The declared state of the cluster, and how current it is.
    View {
        /// The view.
        view: ClusterView,
        /// When it was received.
        at: Monotonic,
    },
    /// The counters of the eBPF programs.
    Counters {
        /// The totals since the programs were loaded.
        counts: KernelCounts,
        /// When the counters were read.
        at: Monotonic,
    },
    /// An answer of connection tracking.
    Conntrack {
        /// The query.
        query: ConntrackQuery,
        /// The connection; `None` if none is tracked, or connection tracking can't be queried.
        answer: Option<ConntrackEntry>,
    },
    /// Time has passed. Sent several times a second.
    Tick {
        /// The time of the kernel's clock.
        now: Monotonic,
        /// The time of the wall clock, at the same moment.
        time: Timestamp,
    },
    /// The run ends: all waiting attempts are judged now.
    Finish,
}

/// A change of the node's pod interfaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InterfaceChange {
    /// The programs were attached to an interface.
    Attached {
        /// The number of the interface.
        ifindex: u32,
        /// The name of the interface.
        name: Arc<str>,
        /// Where its packets are seen.
        places: Vec<Place>,
        /// Whether packets to the pod are seen inside the pod, after everything that may stop them.
        is_inside: bool,
        /// When the programs were attached.
        at: Monotonic,
        /// When the interface was created; `None` if that was before the agent started to watch.
        created_at: Option<Monotonic>,
    },
    /// All addresses behind an interface.
    Addresses {
        /// The number of the interface.
        ifindex: u32,
        /// The addresses, both families.
        addresses: Vec<IpAddr>,
    },
    /// An interface was removed.
    Removed {
        /// The number that the interface had.
        ifindex: u32,
        /// When the removal was reported.
        at: Monotonic,
    },
    /// All addresses of the host's network namespace.
    Host(Vec<IpAddr>),
    /// Whether packets that leave the node are observed.
    Exits {
        /// Whether all of them are.
        is_complete: bool,
        /// Since when.
        at: Monotonic,
    },
    /// All interfaces that existed at the start have been found.
    Synced,
}

/// The counters of the eBPF programs, by [`Counter`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KernelCounts([u64; Counter::ALL.len()]);

impl KernelCounts {
    /// Reads each counter.
    pub fn read(read: impl Fn(Counter) -> u64) -> Self {
        Self(Counter::ALL.map(read))
    }

    /// Returns the total of one counter.
    #[must_use]
    pub fn get(&self, counter: Counter) -> u64 {
        self.0.get(counter as usize).copied().unwrap_or(0)
    }

    /// Returns the number of records that were lost between the kernel and the agent, for any reason.
    #[must_use]
    pub fn lost_records(&self) -> u64 {
        let causes = [Counter::PacketRingFull, Counter::DropRingFull, Counter::DropUnreadable];
        causes.into_iter().map(|counter| self.get(counter)).sum()
    }
}
