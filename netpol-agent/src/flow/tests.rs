//! Table tests: each row is a sequence of packets, and the attempts that the flow table decides.

mod doubt;
mod host_end;
mod memory;
mod translation;
mod udp;

use std::{collections::BTreeMap, time::Duration};

use super::{FlowTable, Limits};
use crate::{
    identity::PodInterfaces,
    model::{
        Attempt, Direction, DropHook, DropReasons, IcmpError, IcmpKind, KernelDrop, Monotonic, Observed,
        Packet, PacketKind, Protocol, SocketAddress, Tuple,
    },
};

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Returns the point in time this many milliseconds after boot.
fn at_ms(count: u64) -> Monotonic {
    Monotonic::ZERO + ms(count)
}

const HOST: u32 = 100;
const NETFILTER: u32 = 12;
const NO_SOCKET: u32 = 3;

/// Pods `a` and `b` are on this node, behind interfaces 1 and 2, and what enters them is seen inside. `r` is elsewhere, and `x` is a router on the way
/// there. `v` and `w` are Service addresses. `n` is the node's own address, which it uses when it translates a source.
/// Interface 3 is the node's uplink.
fn interfaces() -> PodInterfaces {
    interfaces_seen(true)
}

/// The same, with the pods' packets seen inside the pods or from the node.
fn interfaces_seen(inside: bool) -> PodInterfaces {
    let mut interfaces = PodInterfaces::default();
    for (ifindex, address) in [(1, "10.0.0.1"), (2, "10.0.0.2"), (3, "192.168.0.1")] {
        let inside = inside && ifindex != 3;
        interfaces.attached(ifindex, "veth".into(), Vec::new(), inside, Monotonic::ZERO);
        interfaces.set_addresses(ifindex, vec![address.parse().unwrap()]);
    }
    interfaces.set_host([peer('n', 0).address]);
    interfaces
}

fn peer(name: char, port: u16) -> SocketAddress {
    let address = match name {
        'a' => "10.0.0.1",
        'b' => "10.0.0.2",
        'n' => "192.168.0.254",
        'v' => "10.96.0.1",
        'w' => "10.96.0.2",
        'x' => "10.8.0.8",
        _ => "10.9.0.9",
    };
    SocketAddress { address: address.parse().unwrap(), port }
}

/// `a>b` with the usual ports: the client's is 40000, the server's is 80, whoever sends.
fn tuple(protocol: Protocol, from: char, to: char, reply: bool) -> Tuple {
    let (source, destination) = if reply { (80, 40_000) } else { (40_000, 80) };
    Tuple { protocol, source: peer(from, source), destination: peer(to, destination) }
}

fn reasons() -> DropReasons {
    DropReasons::new(BTreeMap::from([(NO_SOCKET, "NO_SOCKET".into()), (NETFILTER, "NETFILTER_DROP".into())]))
}

struct World {
    table: FlowTable,
    interfaces: PodInterfaces,
    now: Monotonic,
    out: Vec<Attempt>,
    protocol: Protocol,
    /// The number of the last opening packet, which answers acknowledge.
    number: u32,
}

impl World {
    fn new(protocol: Protocol) -> Self {
        let now = at_ms(60_000);
        let table = FlowTable::new(Limits::default(), Some(HOST));
        Self { table, interfaces: interfaces(), now, out: Vec::new(), protocol, number: 7 }
    }

    /// One step: `open a>b @1out`, `accept b>a @1in`, `reset`, `close`, `data`, `icmp port|prohibited BY a>b @1in`,
    /// `drop REASON NETNS a>b SIGNAL`, `wait MS`, `lose N`, `lose N ahead MS` where the counter is read before the records.
    fn step(&mut self, step: &str) {
        let words: Vec<&str> = step.split_whitespace().collect();
        self.now += ms(1);
        match words[..] {
            ["wait", count] => {
                self.now += ms(count.parse().unwrap());
                self.table.expire(self.now, &self.interfaces, &mut self.out);
            }
            ["lose", count] => self.table.set_lost(count.parse().unwrap(), self.now),
            ["lose", count, "ahead", time] => {
                let read_at = self.now + ms(time.parse().unwrap());
                self.table.set_lost(count.parse().unwrap(), read_at);
            }
            ["icmp", kind, by, ends, place] => self.icmp(kind, by, ends, place),
            ["drop", reason, netns, ends, signal] => self.drop(reason, netns, ends, signal),
            [signal, ends, place] => self.packet(signal, ends, place),
            _ => panic!("{step}"),
        }
    }

    fn ends(&self, ends: &str, signal: &str) -> Tuple {
        let (from, to) = (ends.chars().next().unwrap(), ends.chars().nth(2).unwrap());
        let reply = ends.contains('<') || matches!(signal, "accept" | "wrong");
        if ends.contains('<') {
            tuple(self.protocol, to, from, reply)
        } else {
            tuple(self.protocol, from, to, reply)
        }
    }

    fn packet(&mut self, signal: &str, ends: &str, place: &str) {
        let tuple = self.ends(ends, signal);
        if let PacketKind::Open(number) = named(signal) {
            self.number = number;
        }
        let acknowledgment = match (signal, self.protocol) {
            ("guess" | "wrong", _) => 0x8000_0000,
            (_, Protocol::Sctp) => self.number,
            _ => self.number + 1,
        };
        let packet = Packet {
            time: self.now,
            ifindex: place[1..2].parse().unwrap(),
            direction: if place.ends_with("out") { Direction::FromPod } else { Direction::ToPod },
            tuple,
            signal: named(signal),
            // A forged packet has the numbers of a real one only by chance.
            sequence: u32::from(place == "@1out" && ends.starts_with('b')),
            acknowledgment,
            packets: 1,
            bytes: 60,
        };
        self.table.packet(&packet, &self.interfaces, &mut self.out);
    }

    fn icmp(&mut self, kind: &str, by: &str, ends: &str, place: &str) {
        let error = IcmpError {
            time: self.now,
            ifindex: place[1..2].parse().unwrap(),
            direction: if place.ends_with("out") { Direction::FromPod } else { Direction::ToPod },
            reporter: peer(by.chars().next().unwrap(), 0).address,
            quoted: self.ends(ends, ""),
            number: None,
            kind: match kind {
                "port" => IcmpKind::PortUnreachable,
                "prohibited" => IcmpKind::Prohibited,
                _ => IcmpKind::Other,
            },
        };
        self.table.icmp_error(&error, &self.interfaces, &mut self.out);
    }

    fn drop(&mut self, reason: &str, netns: &str, ends: &str, signal: &str) {
        let drop = KernelDrop {
            time: self.now,
            netns: match netns {
                "host" => Some(HOST),
                "pod" => Some(7),
                _ => None,
            },
            tuple: self.ends(ends, signal),
            signal: (signal != "none").then(|| named(signal)),
            reason: if reason == "netfilter" { NETFILTER } else { NO_SOCKET },
            count: 1,
        };
        self.table.kernel_drop(&drop, &reasons(), &self.interfaces);
    }
}

fn named(signal: &str) -> PacketKind {
    match signal {
        "open" => PacketKind::Open(7),
        "open0" => PacketKind::Open(0),
        "open2" => PacketKind::Open(8),
        "accept" | "wrong" => PacketKind::Accept,
        // A reset by somebody who has not seen what it is about.
        "reset" | "guess" => PacketKind::Reset,
        "close" => PacketKind::Close,
        _ => PacketKind::Datagram,
    }
}

fn check(name: &str, protocol: Protocol, story: &[&str], expected: &[Observed]) {
    let mut world = World::new(protocol);
    for step in story {
        world.step(step);
    }
    world.step("wait 0");
    let observed: Vec<Observed> = world.out.iter().map(|attempt| attempt.observed).collect();
    assert_eq!(observed, expected, "{name}");
}

const DROPPED: Observed = Observed::Dropped { reason: NETFILTER, hook: DropHook::Netfilter, reply: false };
const REPLY_DROPPED: Observed =
    Observed::Dropped { reason: NETFILTER, hook: DropHook::Netfilter, reply: true };

#[test]
fn tcp() {
    use Observed::{Delivered, Established, Refused, Rejected, Reset, Unanswered};
    let there = ["open a>b @1out", "open a>b @2in"];
    let with = |rest: &[&'static str]| [&there[..], rest].concat();
    for (name, story, expected) in [
        ("established", with(&["accept b>a @2out", "accept b>a @1in"]), &[Established][..]),
        ("the answer left, and did not arrive", with(&["accept b>a @2out"]), &[]),
        (
            "the answer is dropped",
            with(&["accept b>a @2out", "drop netfilter host b>a accept", "wait 2500"]),
            &[REPLY_DROPPED],
        ),
        ("to another node", vec!["open a>r @1out", "accept r>a @1in"], &[Established]),
        ("from another node", vec!["open r>b @2in", "accept b>r @2out"], &[Established]),
        (
            "through an uplink with the programs",
            vec!["open a>r @1out", "open a>r @3in", "accept r>a @3out", "accept r>a @1in"],
            &[Established],
        ),
        ("closed port", with(&["reset a<b @2out", "reset a<b @1in"]), &[Refused]),
        ("rejected on the way", vec!["open a>b @1out", "reset a<b @1in"], &[Rejected]),
        ("reset by an unseen sender", vec!["open a>r @1out", "reset a<r @1in", "wait 300"], &[Reset]),
        (
            "reset by a sender that may still be seen",
            vec!["open a>r @1out", "reset a<r @1in", "wait 200"],
            &[],
        ),
        (
            "rejected here on its way to another node",
            vec!["open a>r @1out", "reset a<r @1in", "drop netfilter host a>r open", "wait 300"],
            &[Rejected],
        ),
        ("dropped", vec!["open a>b @1out", "drop netfilter host a>b open", "wait 1500"], &[]),
        (
            "another packet of it is dropped",
            with(&["drop netfilter host a>b open", "wait 6000"]),
            &[Delivered],
        ),
        (
            "another packet of it dies somewhere",
            with(&["drop socket host a>b open", "wait 6000"]),
            &[Delivered],
        ),
        (
            "another packet of it dies nobody knows where",
            with(&["drop socket nowhere a>b open", "wait 6000"]),
            &[Delivered],
        ),
        (
            "dropped, and later it gets through",
            vec![
                "open a>b @1out",
                "drop netfilter host a>b open",
                "wait 3000",
                "open a>b @1out",
                "open a>b @2in",
            ],
            &[DROPPED, Delivered],
        ),
        (
            "dropped, and much later it gets through",
            vec![
                "open a>b @1out",
                "drop netfilter host a>b open",
                "wait 15000",
                "open a>b @1out",
                "open a>b @2in",
                "wait 6000",
            ],
            &[DROPPED, Delivered],
        ),
        (
            "answered in the pod's name",
            vec!["open a>b @1out", "accept b>a @1in", "wait 6000"],
            &[Observed::Proxied],
        ),
        (
            "a reset by somebody who does not know its number",
            vec!["open a>r @1out", "guess a<r @1in", "accept r>a @1in"],
            &[Established],
        ),
        (
            "an answer by somebody who does not know its number",
            vec!["open a>r @1out", "wrong r>a @1in", "wait 6000"],
            &[Unanswered],
        ),
        (
            "rejected by its own source",
            vec!["open a>r @1out", "icmp prohibited a a>r @1in", "wait 6000"],
            &[Unanswered],
        ),
        (
            "rejected by another pod",
            vec!["open a>r @1out", "icmp prohibited b a>r @1in", "wait 6000"],
            &[Unanswered],
        ),
        (
            "it got there, and its answer is rejected",
            with(&["accept b>a @2out", "drop netfilter host b>a accept", "reset a<b @1in"]),
            &[Rejected],
        ),
        (
            "its reset gets in",
            vec![
                "open a>b @1out",
                "drop netfilter host a>b open",
                "reset a>b @1out",
                "reset a>b @2in",
                "wait 3000",
            ],
            &[DROPPED, Delivered],
        ),
        ("dropped, settled", vec!["open a>b @1out", "drop netfilter host a>b open", "wait 2500"], &[DROPPED]),
        (
            "dropped once, then through",
            vec![
                "open a>b @1out",
                "drop netfilter host a>b open",
                "wait 1000",
                "open a>b @1out",
                "open a>b @2in",
                "accept b>a @2out",
                "accept b>a @1in",
                "wait 5000",
            ],
            &[Established],
        ),
        (
            "dropped by the pod's own filter",
            with(&["drop netfilter pod a>b open", "wait 6000"]),
            &[Delivered],
        ),
        (
            "dropped by nobody knows whose filter",
            vec!["open a>b @1out", "drop netfilter nowhere a>b open", "wait 6000"],
            &[Unanswered],
        ),
        (
            "the answer is dropped by the filter of the pod that gave it",
            with(&["drop netfilter nowhere b>a accept", "wait 6000"]),
            &[Delivered],
        ),
        ("dropped for no policy, in the pod", with(&["drop socket pod a>b open", "wait 6000"]), &[Delivered]),
        (
            "the answer is dropped for no policy",
            with(&["drop socket host b>a accept", "wait 6000"]),
            &[Delivered],
        ),
        (
            "data dropped is not the attempt",
            vec!["open a>b @1out", "drop netfilter host a>b none", "wait 6000"],
            &[Unanswered],
        ),
        (
            "another attempt's drop",
            vec!["open a>b @1out", "drop netfilter host a>b open2", "wait 6000"],
            &[Unanswered],
        ),
        ("no answer", vec!["open a>r @1out", "wait 1000", "open a>r @1out", "wait 3000"], &[]),
        ("no answer", vec!["open a>r @1out", "wait 1000", "open a>r @1out", "wait 4500"], &[Unanswered]),
        ("late answer", vec!["open a>r @1out", "wait 6000", "accept r>a @1in"], &[Unanswered, Established]),
        (
            "late reset decides nothing more",
            vec!["open a>r @1out", "wait 6000", "reset a<r @1in"],
            &[Unanswered],
        ),
        (
            "two attempts from one port",
            vec![
                "open a>r @1out",
                "accept r>a @1in",
                "close a>r @1out",
                "open2 a>r @1out",
                "accept r>a @1in",
            ],
            &[Established, Established],
        ),
        (
            "the first is overtaken",
            vec!["open a>r @1out", "open2 a>r @1out", "accept r>a @1in"],
            &[Established, Unanswered],
        ),
        (
            "the first has arrived when the second begins",
            with(&["open2 a>b @1out", "open2 a>b @2in", "accept b>a @2out", "accept b>a @1in"]),
            &[Established, Delivered],
        ),
        ("icmp from the filter", vec!["open a>b @1out", "icmp port n a>b @1in"], &[Rejected]),
        ("icmp prohibited", vec!["open a>b @1out", "icmp prohibited n a>b @1in"], &[Rejected]),
        ("icmp no route is no policy", vec!["open a>b @1out", "icmp other n a>b @1in"], &[]),
        (
            "icmp from the node, of what goes elsewhere",
            vec!["open a>r @1out", "icmp prohibited n a>r @1in"],
            &[Rejected],
        ),
        (
            "icmp from a router far away",
            vec!["open a>r @1out", "icmp prohibited x a>r @1in", "wait 300"],
            &[Reset],
        ),
        (
            "icmp in the name of a destination far away",
            vec!["open a>r @1out", "icmp prohibited r a>r @1in", "wait 300"],
            &[Reset],
        ),
        (
            "icmp in its name, sent by the filter of this node",
            vec!["open a>r @1out", "icmp port r a>r @1in", "drop netfilter host a>r open", "wait 300"],
            &[Rejected],
        ),
        (
            "late icmp, by a sender that may still be seen",
            vec!["open a>r @1out", "wait 3000", "icmp port r a>r @1in", "wait 200"],
            &[],
        ),
        ("the end of a pre-existing connection", vec!["close b>a @2out", "reset a>b @1out"], &[]),
        (
            "the late end of one that was closed",
            vec!["open a>r @1out", "accept r>a @1in", "close a>r @1out", "wait 12000", "reset a<r @1in"],
            &[Established],
        ),
        (
            "the end of the handshake's connection",
            with(&[
                "accept b>a @2out",
                "accept b>a @1in",
                "close a>b @1out",
                "close a<b @2out",
                "reset a>b @1out",
            ]),
            &[Established],
        ),
    ] {
        check(name, Protocol::Tcp, &story, expected);
    }
}

#[test]
fn echo_and_sctp() {
    let story = ["open a>b @1out", "open a>b @2in", "accept b>a @2out", "accept b>a @1in"];
    for protocol in [Protocol::Icmp, Protocol::Icmpv6, Protocol::Sctp] {
        check("answered", protocol, &story, &[Observed::Established]);
        check(
            "dropped",
            protocol,
            &["open a>b @1out", "drop netfilter host a>b open", "wait 2500"],
            &[DROPPED],
        );
    }
}

/// The peer of an association is lost, and the next association uses the same port.
#[test]
fn sctp_reuses_a_port() {
    let story = [
        "open a>b @1out",
        "open a>b @2in",
        "accept b>a @2out",
        "accept b>a @1in",
        "open2 a>b @1out",
        "open2 a>b @2in",
        "wait 6000",
    ];
    check("same port", Protocol::Sctp, &story, &[Observed::Established, Observed::Delivered]);
}

#[test]
fn other_fields_of_an_attempt() {
    let run = |protocol, story: &[&str]| {
        let mut world = World::new(protocol);
        story.iter().for_each(|step| world.step(step));
        world.step("wait 0");
        world.out.pop().unwrap()
    };
    let retried = run(
        Protocol::Tcp,
        &[
            "open a>b @1out",
            "open a>b @2in",
            "wait 999",
            "open a>b @1out",
            "open a>b @2in",
            "accept b>a @2out",
            "accept b>a @1in",
        ],
    );
    assert_eq!(
        (retried.retransmissions, retried.source_interface, retried.destination_interface),
        (1, Some(1), Some(2))
    );

    let spoofed = run(Protocol::Tcp, &["open r>b @1out", "open r>b @2in", "wait 6000"]);
    assert_eq!(
        (spoofed.spoof_candidate, spoofed.source_interface, spoofed.destination_interface),
        (Some(1), None, Some(2))
    );

    let bypassing_interface =
        run(Protocol::Tcp, &["open a>b @1out", "accept b>a @2out", "accept b>a @1in", "wait 6000"]);
    assert_eq!(bypassing_interface.destination_interface, Some(2));

    assert!(run(Protocol::Tcp, &["accept b>a @2out"]).pre_existing);

    let late = run(Protocol::Tcp, &["open a>r @1out", "wait 6000", "accept r>a @1in"]);
    assert!(late.revised);
}

/// `a>b via v established`.
fn short(attempt: &Attempt) -> String {
    let name = |of: SocketAddress| {
        *['a', 'b', 'n', 'r', 'v', 'w'].iter().find(|name| peer(**name, of.port) == of).unwrap()
    };
    let via = attempt
        .service_address
        .map_or_else(String::new, |service_address| format!(" via {}", name(service_address)));
    format!("{}>{}{via} {}", name(attempt.tuple.source), name(attempt.tuple.destination), attempt.observed)
}
