//! How long attempts are remembered, and how many.

use proptest::prelude::*;

use super::*;
use crate::flow::entry::Entry;

/// A datagram from a low port to a high one, just after the start, is an answer to an earlier request. If the pod was
/// created after the agent started, it is not.
#[test]
fn datagrams_at_the_start() {
    for (attached_ms, created, pre_existing) in
        [(159_000, false, true), (60_000, false, true), (10_000, false, false), (159_000, true, false)]
    {
        let mut world = World::new(Protocol::Udp);
        world.now = at_ms(160_000);
        world.interfaces.removed(2, Monotonic::ZERO);
        world.interfaces.attached(2, "veth".into(), Vec::new(), true, at_ms(attached_ms));
        world.interfaces.set_addresses(2, vec![peer('b', 0).address]);
        if created {
            world.interfaces.created(2, at_ms(attached_ms));
        }
        for step in ["data a<b @2out", "wait 6000"] {
            world.step(step);
        }
        assert_eq!(
            world.out[0].pre_existing, pre_existing,
            "attached at {attached_ms} ms, created: {created}"
        );
    }
}

/// Both sides may continue a conversation for as long as an enforcer remembers it.
#[test]
fn conversations_with_pauses() {
    let asked = ["data a>b @1out", "data a>b @2in", "data a<b @2out", "data a<b @1in"];
    for (pause, reported) in [("wait 120000", 1), ("wait 140000", 2)] {
        let mut world = World::new(Protocol::Udp);
        for step in asked.into_iter().chain([pause, "data a<b @2out", "data a<b @1in", "wait 6000"]) {
            world.step(step);
        }
        assert_eq!(world.out.len(), reported, "{pause}: {:?}", world.out);
    }
}

/// A long conversation is reported from time to time: as a recheck if it was let through before, otherwise as a new
/// attempt.
#[test]
fn long_conversations() {
    let there = ["data a>b @1out", "data a>b @2in"];
    let stopped = ["data a>b @1out", "drop netfilter host a>b data"];
    let (delivered, dropped) = (Observed::Delivered, DROPPED);
    for (name, first, then, expected) in [
        ("it continues", there, there, [(delivered, false), (delivered, true)]),
        ("it is stopped", there, stopped, [(delivered, false), (dropped, true)]),
        ("it gets through later", stopped, there, [(dropped, false), (delivered, false)]),
    ] {
        let mut world = World::new(Protocol::Udp);
        for _ in 0..60 {
            first.iter().for_each(|step| world.step(step));
            world.step("wait 5000");
        }
        for _ in 0..70 {
            then.iter().for_each(|step| world.step(step));
            world.step("wait 5000");
        }
        let reported: Vec<_> =
            world.out.iter().map(|attempt| (attempt.observed, attempt.is_recheck)).collect();
        assert_eq!(reported, expected, "{name}");
    }
}

#[test]
fn forgets() {
    for (story, wait_ms, left) in [
        (&["open a>r @1out", "accept r>a @1in", "close a>r @1out"][..], 2_500, 0),
        (&["open a>r @1out", "accept r>a @1in"], 600_000, 1),
        (&["open a>r @1out", "accept r>a @1in"], 3_700_000, 0),
        (&["open a>r @1out"], 60_000, 1),
        (&["open a>r @1out"], 80_000, 0),
    ] {
        let mut world = World::new(Protocol::Tcp);
        story.iter().for_each(|step| world.step(step));
        // The time advances in steps.
        for _ in 0..wait_ms / 500 {
            world.step("wait 500");
        }
        assert_eq!(world.table.len(), left, "{story:?} {wait_ms}");
    }
}

/// A translation is removed with its attempt.
#[test]
fn forgets_translations() {
    let mut world = World::new(Protocol::Tcp);
    for step in ["open a>v @1out", "open n>b @2in", "accept b>n @2out", "accept v>a @1in", "close a>v @1out"]
    {
        world.step(step);
    }
    assert_eq!((world.table.len(), world.table.alias_count()), (2, 1));
    world.step("wait 12000");
    assert_eq!((world.table.len(), world.table.alias_count()), (0, 0));
}

#[test]
fn eviction_takes_decided_ones_first() {
    let limits = Limits { entries: 2, ..Limits::default() };
    let mut table = FlowTable::new(limits, None);
    let (interfaces, mut out) = (interfaces(), Vec::new());
    let mut send = |table: &mut FlowTable, port, signal, reply: bool| {
        let opened = Tuple { protocol: Protocol::Tcp, source: peer('a', port), destination: peer('r', 80) };
        let (tuple, direction) =
            if reply { (opened.reversed(), Direction::ToPod) } else { (opened, Direction::FromPod) };
        let packet = Packet {
            time: Monotonic::from_nanos(port.into()),
            ifindex: 1,
            direction,
            tuple,
            signal,
            sequence: 0,
            acknowledgment: 2,
            packets: 1,
            bytes: 0,
        };
        table.packet(&packet, &interfaces, &mut out);
    };
    send(&mut table, 1, PacketKind::Open(1), false);
    send(&mut table, 2, PacketKind::Open(1), false);
    send(&mut table, 2, PacketKind::Accept, true);
    send(&mut table, 3, PacketKind::Open(1), false);
    assert_eq!((table.stats().evicted, table.stats().evicted_undecided), (1, 0));
    send(&mut table, 4, PacketKind::Open(1), false);
    assert_eq!((table.stats().evicted, table.stats().evicted_undecided, table.len()), (1, 1, 2));
}

proptest! {
    /// For any input in any order: the table stays within its bound, and each attempt is emitted at most twice.
    #[test]
    fn bound(steps in proptest::collection::vec((0u16..40, 0u8..6, 0u32..4, any::<bool>(), 0u64..3_000), 1..400)) {
        let limits = Limits { entries: 16, ..Limits::default() };
        let mut table = FlowTable::new(limits, Some(HOST));
        let (interfaces, mut out, mut now) = (interfaces(), Vec::new(), at_ms(1_000));
        for (port, signal, ifindex, reply, gap) in steps {
            now += ms(gap);
            let protocol = if port % 3 == 0 { Protocol::Udp } else { Protocol::Tcp };
            let forward = Tuple { protocol, source: peer('a', port), destination: peer('b', 80) };
            let tuple = if reply { forward.reversed() } else { forward };
            let direction = if reply == (ifindex == 1) { Direction::ToPod } else { Direction::FromPod };
            let signal = match (protocol, signal) {
                (Protocol::Udp, _) => PacketKind::Datagram,
                (_, 0 | 1) => PacketKind::Open(gap as u32 % 3),
                (_, 2) => PacketKind::Accept,
                (_, 3) => PacketKind::Reset,
                _ => PacketKind::Close,
            };
            if signal == PacketKind::Close && gap % 5 == 0 {
                let drop = KernelDrop { time: now, netns: None, tuple, signal: Some(signal), reason: NETFILTER, count: 1 };
                table.kernel_drop(&drop, &reasons(), &interfaces);
            } else {
                let packet = Packet { time: now, ifindex, direction, tuple, signal, sequence: 0, acknowledgment: 0, packets: 1, bytes: 0 };
                table.packet(&packet, &interfaces, &mut out);
            }
            table.expire(now, &interfaces, &mut out);
            prop_assert!(table.len() <= 16);
        }
        // In the end everything is decided and forgotten, and the queues are empty.
        for _ in 0..1_000 {
            now += ms(10_000);
            table.expire(now, &interfaces, &mut out);
        }
        prop_assert!(table.is_empty());
        prop_assert_eq!(table.next_deadline(), None);
    }
}

/// No evidence delays a decision beyond the maximum that the table promises. The worst case is a drop just before the
/// timeout for an answer, and a reset just before that drop would have decided it.
#[test]
fn the_longest_delay() {
    let limits = Limits::default();
    let mut world = World::new(Protocol::Tcp);
    world.step("open a>r @1out");
    let began = world.now;
    for step in ["wait 4990", "drop netfilter host a>r open", "wait 1980", "reset a<r @1in"] {
        world.step(step);
    }
    assert!(world.out.is_empty(), "{:?}", world.out);
    while world.out.is_empty() {
        world.step("wait 1000");
    }
    let delay = world.now.since(began);
    assert!(delay > limits.unanswered + limits.settle, "it waits for both: {delay:?}");
    assert!(delay <= FlowTable::max_delay(&limits), "{delay:?}");
}

/// The table uses most of the agent's memory, and has up to twice as many slots as connections.
#[test]
fn an_entry_is_small() {
    let size = size_of::<(Tuple, Entry)>();
    assert!(size <= 128, "{size} bytes");
}
