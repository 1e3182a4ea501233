//! Writes records to the ring buffer. If the buffer is full, the record is counted as lost.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use netpol_common::{ABI_VERSION, Counter, Direction, IcmpErrorRecord, PacketRecord, RecordHead, RecordKind};

use crate::{
    config::REFRESH_NS,
    device,
    maps::{RECORDS, SEEN, Seen, SeenKey, count},
    parse::Packet,
};

/// The interface and the direction of a packet.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) ifindex: u32,
    /// The kernel address of the device, see [`device::address`].
    pub(crate) device: usize,
    pub(crate) direction: Direction,
}

#[inline(always)]
fn head(kind: RecordKind, place: Place, now: u64) -> RecordHead {
    RecordHead {
        time_ns: now,
        ifindex: place.ifindex,
        netns: device::namespace(place.device).unwrap_or_default(),
        version: ABI_VERSION,
        kind: kind as u8,
        direction: place.direction as u8,
        padding: 0,
        padding_end: 0,
    }
}

/// Records one packet.
#[inline(always)]
pub(crate) fn packet(place: Place, packet: &Packet, bytes: u32) {
    packets(place, packet, 1, bytes, now());
}

#[inline(always)]
fn packets(place: Place, packet: &Packet, packets: u32, bytes: u32, now: u64) {
    let Some(mut entry) = RECORDS.reserve::<PacketRecord>(0) else {
        count(Counter::PacketRingFull);
        return;
    };
    entry.write(PacketRecord {
        head: head(RecordKind::Packet, place, now),
        tuple: packet.tuple,
        sequence: packet.sequence,
        acknowledgment: packet.acknowledgment,
        packets,
        bytes,
        tcp_flags: packet.tcp_flags,
        message: packet.message,
        code: packet.code,
        padding: 0,
        padding_end: 0,
    });
    entry.submit(0);
}

/// Records the first packet of a tuple, and then at most one packet per interval. Each record has the number of
/// packets and bytes since the last one.
#[inline(always)]
pub(crate) fn sampled(place: Place, packet: &Packet, bytes: u32) {
    let now = now();
    let mut key = SeenKey { tuple: packet.tuple, device: place.device as u64 };
    key.tuple.padding = place.direction as u16;
    let Some(seen) = SEEN.get_ptr_mut(&key) else {
        let seen = Seen { recorded_ns: now, packets: 0, bytes: 0 };
        // If this fails because the table is full, the next packet is recorded like a first one.
        let _ = SEEN.insert(&key, &seen, 0);
        packets(place, packet, 1, bytes, now);
        return;
    };
    // SAFETY: the entry stays valid while the program runs. Two CPUs may update one entry at the same time. Then a
    // packet may not be counted. That is accepted because a lock for each packet would be too slow.
    let seen = unsafe { &mut *seen };
    let (pending_packets, pending_bytes) = (seen.packets.wrapping_add(1), seen.bytes.wrapping_add(bytes));
    if now.wrapping_sub(seen.recorded_ns) < REFRESH_NS.load() {
        seen.packets = pending_packets;
        seen.bytes = pending_bytes;
        return;
    }
    *seen = Seen { recorded_ns: now, packets: 0, bytes: 0 };
    packets(place, packet, pending_packets, pending_bytes, now);
}

/// Records an ICMP error and the packet that it quotes.
#[inline(always)]
pub(crate) fn icmp_error(place: Place, packet: &Packet, quoted: &Packet) {
    let Some(mut entry) = RECORDS.reserve::<IcmpErrorRecord>(0) else {
        count(Counter::PacketRingFull);
        return;
    };
    entry.write(IcmpErrorRecord {
        head: head(RecordKind::IcmpError, place, now()),
        tuple: packet.tuple,
        quoted: quoted.tuple,
        quoted_sequence: quoted.sequence,
        message: packet.message,
        code: packet.code,
        padding: 0,
    });
    entry.submit(0);
}

#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: no arguments, no preconditions.
    unsafe { bpf_ktime_get_ns() }
}
