//! Records packets that the kernel drops, wherever it drops them: netfilter, TC, routing, a socket's queue.

use aya_ebpf::programs::BtfTracePointContext;
use netpol_common::{ABI_VERSION, Counter, DROP_REASON_WORDS, DropRecord, RecordHead, RecordKind, tcp};

use crate::{
    config,
    device::{self, field},
    emit,
    maps::{DROPPED, DroppedKey, RECORDS, Seen, count},
    parse::{self, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Packet, Skip},
    read::Kernel,
};

/// The arguments of the tracepoint.
struct Dropped {
    skb: usize,
    location: u64,
    reason: u32,
}

/// Records a dropped IP packet if user space has enabled its drop reason.
#[inline(always)]
pub(crate) fn try_record(context: &BtfTracePointContext) {
    let dropped =
        Dropped { skb: context.arg::<usize>(0), location: context.arg::<u64>(1), reason: reason(context) };
    if is_wanted(dropped.reason) && record(&dropped).is_none() {
        count(Counter::DropUnreadable);
    }
}

#[inline(always)]
fn reason(context: &BtfTracePointContext) -> u32 {
    // The verifier rejects a read of an argument that the running kernel's tracepoint does not have. With this
    // constant it knows that the read never happens.
    if config::HAS_DROP_REASON.load() == 0 { 0 } else { context.arg::<u32>(2) }
}

#[inline(always)]
fn is_wanted(reason: u32) -> bool {
    let word = (reason / 64) as usize;
    // Reasons of other subsystems (Open vSwitch, mac80211) have a number in the upper half. They are always recorded.
    if word >= DROP_REASON_WORDS {
        return true;
    }
    let words = config::DROP_REASONS.load();
    let wanted = match word {
        0 => words[0],
        1 => words[1],
        2 => words[2],
        _ => words[3],
    };
    wanted >> (reason % 64) & 1 == 1
}

/// Records a dropped packet. `None` if the packet can't be read. A packet that is not recorded is not an error.
#[inline(always)]
fn record(dropped: &Dropped) -> Option<()> {
    let skb = Kernel { start: dropped.skb, length: usize::MAX };
    let ethertype = u16::from_be(field(&skb, config::SKB_PROTOCOL.load())?);
    if ethertype != ETHERTYPE_IPV4 && ethertype != ETHERTYPE_IPV6 {
        return Some(());
    }
    let head: usize = field(&skb, config::SKB_HEAD.load())?;
    let network: u16 = field(&skb, config::SKB_NETWORK_HEADER.load())?;
    let tail: u32 = field(&skb, config::SKB_TAIL.load())?;
    let read = Kernel {
        start: head + usize::from(network),
        length: (tail as usize).saturating_sub(usize::from(network)),
    };
    let mut packet = Packet::new();
    let parsed =
        parse::network(&read, ethertype, 0, &mut packet).and_then(|()| parse::transport(&read, &mut packet));
    match parsed {
        Ok(()) => {}
        // The packet was dropped before the IP header was found, or it has no ports. It can't be matched to a flow.
        Err(Skip::Ignored | Skip::Counted(_)) => return Some(()),
    }
    submit(dropped, &skb, &packet);
    Some(())
}

#[inline(always)]
fn submit(dropped: &Dropped, skb: &Kernel, packet: &Packet) {
    let now = emit::now();
    let Some(count_of) = pending(dropped, packet, now) else { return };
    let (ifindex, netns) = device::of(skb).unwrap_or_default();
    let Some(mut entry) = RECORDS.reserve::<DropRecord>(0) else {
        count(Counter::DropRingFull);
        return;
    };
    entry.write(DropRecord {
        head: RecordHead {
            time_ns: now,
            ifindex,
            netns,
            version: ABI_VERSION,
            kind: RecordKind::Drop as u8,
            direction: 0,
            padding: 0,
            padding_end: 0,
        },
        tuple: packet.tuple,
        location: dropped.location,
        reason: dropped.reason,
        sequence: packet.sequence,
        acknowledgment: packet.acknowledgment,
        count: count_of,
        tcp_flags: packet.tcp_flags,
        message: packet.message,
        code: packet.code,
        padding: 0,
        padding_end: 0,
    });
    entry.submit(0);
}

/// The number of drops that a record written now represents. `None` if the tuple's last record is too recent.
#[inline(always)]
fn pending(dropped: &Dropped, packet: &Packet, now: u64) -> Option<u32> {
    let opens = packet.tuple.protocol == parse::SCTP || packet.tcp_flags & tcp::SYN != 0;
    let opening = if opens { packet.sequence } else { 0 };
    let mut key = DroppedKey { tuple: packet.tuple, reason: dropped.reason, opening };
    key.tuple.padding = u16::from(packet.tcp_flags);
    let Some(seen) = DROPPED.get_ptr_mut(&key) else {
        let seen = Seen { recorded_ns: now, packets: 0, bytes: 0 };
        // If this fails because the table is full, the next drop is recorded like a first one.
        let _ = DROPPED.insert(&key, &seen, 0);
        return Some(1);
    };
    // SAFETY: the entry stays valid while the program runs. A lost increment between CPUs is accepted.
    let seen = unsafe { &mut *seen };
    let drops = seen.packets.wrapping_add(1);
    if now.wrapping_sub(seen.recorded_ns) < config::DROP_REFRESH_NS.load() {
        seen.packets = drops;
        return None;
    }
    *seen = Seen { recorded_ns: now, packets: 0, bytes: 0 };
    Some(drops)
}
