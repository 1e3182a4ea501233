//! The maps: one ring to user space, one array of counters, two tables that keep repetition out of the ring.

use aya_ebpf::{
    macros::map,
    maps::{LruHashMap, PerCpuArray, RingBuf},
};
use netpol_common::{Counter, FlowTuple};

/// All records, in the order of their reservation over all CPUs. User space sets the size.
#[map]
pub(crate) static RECORDS: RingBuf = RingBuf::with_byte_size(2 << 20, 0);

/// One slot for each [`Counter`].
#[map]
pub(crate) static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Counter::COUNT, 0);

/// Where and what: one direction of a UDP or ICMP conversation at one veth.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct SeenKey {
    pub(crate) tuple: FlowTuple,
    pub(crate) ifindex: u32,
    pub(crate) direction: u32,
}

/// What has happened since its last record.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) recorded_ns: u64,
    pub(crate) packets: u32,
    pub(crate) bytes: u32,
}

/// UDP and ICMP tuples of late.
#[map]
pub(crate) static SEEN: LruHashMap<SeenKey, Seen> = LruHashMap::with_max_entries(32_768, 0);

/// Which packets, and why they were dropped.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct DroppedKey {
    pub(crate) tuple: FlowTuple,
    pub(crate) reason: u32,
    pub(crate) tcp_flags: u32,
}

/// Dropped tuples of late.
#[map]
pub(crate) static DROPPED: LruHashMap<DroppedKey, Seen> = LruHashMap::with_max_entries(8_192, 0);

/// Adds one.
#[inline(always)]
pub(crate) fn count(counter: Counter) {
    if let Some(slot) = COUNTERS.get_ptr_mut(counter as u32) {
        // SAFETY: the pointer comes from a successful look-up in a per-CPU array, and a program is not migrated.
        unsafe { *slot += 1 };
    }
}
