//! What goes into the pipeline.

use std::{net::IpAddr, sync::Arc};

use jiff::Timestamp;
use netpol_common::Counter;
use serde::{Deserialize, Serialize};

use crate::{
    model::{ConntrackEntry, ConntrackQuery, Monotonic},
    policy::ClusterView,
};

/// One thing that has happened. Order counts: all records until a tick come before it, and the counters that tell how
/// many records are missing come between those and the tick.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// The bytes of one record of the ring buffer.
    Record(&'a [u8]),
    /// A change of the node's pod interfaces.
    Interface(InterfaceChange),
    /// The declared state of the cluster, and how well it is known.
    View {
        /// What is declared.
        view: ClusterView,
        /// When it came.
        at: Monotonic,
    },
    /// What the programs have counted.
    Counters {
        /// Totals since the programs were loaded.
        counts: KernelCounts,
        /// When they were read.
        at: Monotonic,
    },
    /// What connection tracking answers.
    Conntrack {
        /// What was asked.
        query: ConntrackQuery,
        /// The connection; `None` where none is tracked, or connection tracking can't be asked.
        answer: Option<ConntrackEntry>,
    },
    /// Time has passed.
    Tick {
        /// The kernel's clock.
        now: Monotonic,
        /// The calendar, at the same moment.
        time: Timestamp,
    },
    /// The run ends: what waits is judged without waiting any longer.
    Finish,
}

/// A change of the node's pod interfaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InterfaceChange {
    /// The programs are on an interface.
    Attached {
        /// Its index.
        ifindex: u32,
        /// Its name.
        name: Arc<str>,
        /// When they were attached.
        at: Monotonic,
        /// When the interface was created, where that was while the agent was watching.
        created_at: Option<Monotonic>,
    },
    /// The addresses behind an interface, all of them.
    Addresses {
        /// Its index.
        ifindex: u32,
        /// The addresses, both families.
        addresses: Vec<IpAddr>,
    },
    /// An interface is gone.
    Removed {
        /// The index that it had.
        ifindex: u32,
        /// When that was heard of.
        at: Monotonic,
    },
    /// The addresses of the host's own network namespace, all of them.
    Host(Vec<IpAddr>),
    /// All interfaces that were there at the start have been found.
    Synced,
}

/// What the programs have counted, by [`Counter`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KernelCounts([u64; Counter::ALL.len()]);

impl KernelCounts {
    /// Reads each counter.
    pub fn read(read: impl Fn(Counter) -> u64) -> Self {
        Self(Counter::ALL.map(read))
    }

    /// The total of one counter.
    #[must_use]
    pub fn get(&self, counter: Counter) -> u64 {
        self.0.get(counter as usize).copied().unwrap_or(0)
    }

    /// Records that were lost between the kernel and the agent, for whatever reason.
    #[must_use]
    pub fn lost_records(&self) -> u64 {
        let causes = [Counter::PacketRingFull, Counter::DropRingFull, Counter::DropUnreadable];
        causes.into_iter().map(|counter| self.get(counter)).sum()
    }
}
