//! The maps: the ring buffer to user space, the array of counters, and two tables that limit repeated records.

use aya_ebpf::{
    macros::map,
    maps::{LruHashMap, PerCpuArray, RingBuf},
};
use netpol_common::{Counter, FlowTuple};

/// The ring buffer of all records, in the order of their reservation across all CPUs. User space sets the size.
#[map]
pub(crate) static RECORDS: RingBuf = RingBuf::with_byte_size(2 << 20, 0);

/// One slot for each [`Counter`].
#[map]
pub(crate) static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Counter::COUNT, 0);

/// The key of [`SEEN`]: one direction of a UDP or ICMP flow at one interface.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct SeenKey {
    /// The tuple, with the direction in the place of its padding.
    pub(crate) tuple: FlowTuple,
    /// The kernel address of the device.
    pub(crate) device: u64,
}

/// The time of the last record of a key, and the packets and bytes since then.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) recorded_ns: u64,
    pub(crate) packets: u32,
    pub(crate) bytes: u32,
}

/// The recently seen UDP and ICMP tuples.
#[map]
pub(crate) static SEEN: LruHashMap<SeenKey, Seen> = LruHashMap::with_max_entries(32_768, 0);

/// The key of [`DROPPED`]: the tuple of dropped packets, the drop reason, and what distinguishes one connection from the
/// next with the same tuple.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct DroppedKey {
    /// The tuple, with the TCP flags in the place of its padding.
    pub(crate) tuple: FlowTuple,
    pub(crate) reason: u32,
    /// TCP sequence number of an opening packet, or initiate tag of an SCTP INIT; otherwise 0.
    pub(crate) opening: u32,
}

/// The recently dropped tuples.
#[map]
pub(crate) static DROPPED: LruHashMap<DroppedKey, Seen> = LruHashMap::with_max_entries(8_192, 0);

/// Increments a counter.
#[inline(always)]
pub(crate) fn count(counter: Counter) {
    if let Some(slot) = COUNTERS.get_ptr_mut(counter as u32) {
        // SAFETY: the pointer comes from a successful lookup in a per-CPU array, and a program is not migrated between
        // CPUs.
        unsafe { *slot += 1 };
    }
}
