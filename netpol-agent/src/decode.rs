//! Decodes the bytes of a ring buffer record into a [`Record`].
//!
//! The bytes are not trusted: any input gives a record or an error, never a panic.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytemuck::AnyBitPattern;
use netpol_common::{
    ABI_VERSION, Direction as WireDirection, DropRecord, FlowTuple, IcmpErrorRecord, PacketRecord,
    RecordHead, RecordKind, tcp,
};
use thiserror::Error;

use crate::model::{
    Direction, IcmpError, IcmpKind, KernelDrop, Monotonic, Packet, PacketKind, Place, Protocol, Record,
    SocketAddress, Tuple,
};

/// Why bytes are not a record. The text of each is the value of a metric label.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
pub enum DecodeError {
    /// The length does not match the kind of record.
    #[error("length")]
    Length,
    /// The record was written by a program of another version.
    #[error("version")]
    Version,
    /// An unknown kind of record.
    #[error("kind")]
    Kind,
    /// A field has a value that is not valid.
    #[error("field")]
    Field,
    /// The interface is not known: it was removed.
    #[error("interface")]
    Interface,
}

/// The IP protocol number of TCP.
const TCP: u8 = 6;

/// SCTP chunk types (RFC 9260, section 3.2).
mod sctp {
    pub(super) const INIT: u8 = 1;
    pub(super) const INIT_ACK: u8 = 2;
    pub(super) const ABORT: u8 = 6;
}

/// Decodes one record. `interface` returns the number of an interface.
///
/// # Errors
///
/// Returns an error if the bytes are not a record that the programs of this version write, or if the interface is not
/// known.
pub fn decode(bytes: &[u8], interface: impl Fn(Place) -> Option<u32>) -> Result<Record, DecodeError> {
    let head: RecordHead = read(bytes.get(..size_of::<RecordHead>()).ok_or(DecodeError::Length)?)?;
    if head.version != ABI_VERSION {
        return Err(DecodeError::Version);
    }
    match head.kind {
        kind if kind == RecordKind::Packet as u8 && head.direction == WireDirection::OutOfNode as u8 => {
            let record = PacketRecord {
                head: RecordHead { direction: WireDirection::FromPod as u8, ..head },
                ..read(bytes)?
            };
            packet(&record, |place| Some(place.ifindex)).map(Record::Exit)
        }
        kind if kind == RecordKind::Packet as u8 => packet(&read(bytes)?, interface).map(Record::Packet),
        kind if kind == RecordKind::IcmpError as u8 => {
            icmp_error(&read(bytes)?, interface).map(Record::IcmpError)
        }
        kind if kind == RecordKind::Drop as u8 => kernel_drop(&read(bytes)?).map(Record::Drop),
        _ => Err(DecodeError::Kind),
    }
}

fn read<T: AnyBitPattern>(bytes: &[u8]) -> Result<T, DecodeError> {
    bytemuck::try_pod_read_unaligned(bytes).map_err(|_| DecodeError::Length)
}

fn number(head: &RecordHead, interface: impl Fn(Place) -> Option<u32>) -> Result<u32, DecodeError> {
    interface(Place { netns: head.netns, ifindex: head.ifindex }).ok_or(DecodeError::Interface)
}

fn packet(record: &PacketRecord, interface: impl Fn(Place) -> Option<u32>) -> Result<Packet, DecodeError> {
    let tuple = tuple(&record.tuple)?;
    Ok(Packet {
        time: Monotonic::from_nanos(record.head.time_ns),
        ifindex: number(&record.head, interface)?,
        direction: direction(record.head.direction)?,
        tuple,
        signal: signal(tuple.protocol, record.tcp_flags, record.message, record.sequence)
            .ok_or(DecodeError::Field)?,
        sequence: record.sequence,
        acknowledgment: record.acknowledgment,
        packets: record.packets,
        bytes: record.bytes,
    })
}

fn icmp_error(
    record: &IcmpErrorRecord,
    interface: impl Fn(Place) -> Option<u32>,
) -> Result<IcmpError, DecodeError> {
    Ok(IcmpError {
        time: Monotonic::from_nanos(record.head.time_ns),
        ifindex: number(&record.head, interface)?,
        direction: direction(record.head.direction)?,
        reporter: address(record.tuple.family, record.tuple.source)?,
        quoted: tuple(&record.quoted)?,
        // An error about a later segment of the connection is none about its opening.
        number: (record.quoted.protocol == TCP).then_some(record.quoted_sequence),
        kind: icmp_kind(record.tuple.family, record.message, record.code),
    })
}

fn kernel_drop(record: &DropRecord) -> Result<KernelDrop, DecodeError> {
    let tuple = tuple(&record.tuple)?;
    Ok(KernelDrop {
        time: Monotonic::from_nanos(record.head.time_ns),
        netns: (record.head.netns != 0).then_some(record.head.netns),
        tuple,
        signal: signal(tuple.protocol, record.tcp_flags, record.message, record.sequence),
        reason: record.reason,
        count: record.count,
    })
}

fn direction(value: u8) -> Result<Direction, DecodeError> {
    match value {
        value if value == WireDirection::FromPod as u8 => Ok(Direction::FromPod),
        value if value == WireDirection::ToPod as u8 => Ok(Direction::ToPod),
        _ => Err(DecodeError::Field),
    }
}

fn tuple(wire: &FlowTuple) -> Result<Tuple, DecodeError> {
    Ok(Tuple {
        protocol: Protocol::from_number(wire.protocol),
        source: SocketAddress { address: address(wire.family, wire.source)?, port: wire.source_port },
        destination: SocketAddress {
            address: address(wire.family, wire.destination)?,
            port: wire.destination_port,
        },
    })
}

fn address(family: u8, words: [u32; 4]) -> Result<IpAddr, DecodeError> {
    match family {
        4 => Ok(IpAddr::V4(Ipv4Addr::from(words[0].to_ne_bytes()))),
        6 => {
            let octets: [u8; 16] = bytemuck::cast(words);
            Ok(IpAddr::V6(Ipv6Addr::from(octets)))
        }
        _ => Err(DecodeError::Field),
    }
}

/// Returns the role of a packet; `None` for one that neither opens nor ends a connection.
fn signal(protocol: Protocol, tcp_flags: u8, message: u8, sequence: u32) -> Option<PacketKind> {
    match protocol {
        Protocol::Tcp if tcp_flags & tcp::RST != 0 => Some(PacketKind::Reset),
        Protocol::Tcp if tcp_flags & tcp::SYN != 0 && tcp_flags & tcp::ACK != 0 => Some(PacketKind::Accept),
        Protocol::Tcp if tcp_flags & tcp::SYN != 0 => Some(PacketKind::Open(sequence)),
        Protocol::Tcp if tcp_flags & tcp::FIN != 0 => Some(PacketKind::Close),
        Protocol::Tcp => None,
        Protocol::Udp => Some(PacketKind::Datagram),
        Protocol::Sctp => match message {
            sctp::INIT => Some(PacketKind::Open(sequence)),
            sctp::INIT_ACK => Some(PacketKind::Accept),
            sctp::ABORT => Some(PacketKind::Reset),
            7 | 14 => Some(PacketKind::Close),
            _ => None,
        },
        Protocol::Icmp | Protocol::Icmpv6 => match message {
            8 | 128 => Some(PacketKind::Open(0)),
            0 | 129 => Some(PacketKind::Accept),
            _ => None,
        },
        Protocol::Other(_) => None,
    }
}

fn icmp_kind(family: u8, message: u8, code: u8) -> IcmpKind {
    match (family, message, code) {
        (4, 3, 3) | (6, 1, 4) => IcmpKind::PortUnreachable,
        (4, 3, 9 | 10 | 13) | (6, 1, 1 | 5 | 6) => IcmpKind::Prohibited,
        _ => IcmpKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable as _;
    use proptest::prelude::*;

    use super::*;

    /// All interfaces are known, by their index.
    #[expect(clippy::unnecessary_wraps, reason = "the type that `decode` asks for")]
    fn at(place: Place) -> Option<u32> {
        Some(place.ifindex)
    }

    fn wire_packet(change: impl FnOnce(&mut PacketRecord)) -> Vec<u8> {
        let mut record = PacketRecord::zeroed();
        record.head.version = ABI_VERSION;
        record.head.kind = RecordKind::Packet as u8;
        record.head.direction = WireDirection::FromPod as u8;
        record.tuple.family = 4;
        record.tuple.protocol = 6;
        record.tcp_flags = tcp::SYN;
        change(&mut record);
        bytemuck::bytes_of(&record).to_vec()
    }

    #[test]
    fn rejects() {
        let good = wire_packet(|_| {});
        assert!(decode(&good, at).is_ok());
        for (what, bytes, error) in [
            ("nothing", vec![], DecodeError::Length),
            ("cut", good[..good.len() - 1].to_vec(), DecodeError::Length),
            ("too long", [&good[..], &[0]].concat(), DecodeError::Length),
            ("version", wire_packet(|r| r.head.version = 9), DecodeError::Version),
            ("kind", wire_packet(|r| r.head.kind = 9), DecodeError::Kind),
            ("direction", wire_packet(|r| r.head.direction = 4), DecodeError::Field),
            ("family", wire_packet(|r| r.tuple.family = 5), DecodeError::Field),
            ("protocol", wire_packet(|r| r.tuple.protocol = 50), DecodeError::Field),
            ("TCP data", wire_packet(|r| r.tcp_flags = tcp::ACK), DecodeError::Field),
        ] {
            assert_eq!(decode(&bytes, at), Err(error), "{what}");
        }
        assert_eq!(decode(&good, |_| None), Err(DecodeError::Interface));
    }

    #[test]
    fn signals() {
        for (protocol, flags, message, expected) in [
            (6, tcp::SYN, 0, PacketKind::Open(7)),
            (6, tcp::SYN | 0xc0, 0, PacketKind::Open(7)),
            (6, tcp::SYN | tcp::ACK, 0, PacketKind::Accept),
            (6, tcp::RST | tcp::ACK, 0, PacketKind::Reset),
            (6, tcp::FIN | tcp::ACK, 0, PacketKind::Close),
            (17, 0, 0, PacketKind::Datagram),
            (132, 0, 1, PacketKind::Open(7)),
            (132, 0, 2, PacketKind::Accept),
            (132, 0, 6, PacketKind::Reset),
            (132, 0, 14, PacketKind::Close),
            (1, 0, 8, PacketKind::Open(0)),
            (1, 0, 0, PacketKind::Accept),
            (58, 0, 128, PacketKind::Open(0)),
            (58, 0, 129, PacketKind::Accept),
        ] {
            let bytes = wire_packet(|record| {
                record.tuple.protocol = protocol;
                record.tcp_flags = flags;
                record.message = message;
                record.sequence = 7;
            });
            let Ok(Record::Packet(packet)) = decode(&bytes, at) else {
                panic!("{protocol} {flags} {message}")
            };
            assert_eq!(packet.signal, expected, "{protocol} {flags} {message}");
        }
    }

    #[test]
    fn addresses_and_ports() {
        let bytes = wire_packet(|record| {
            record.tuple.family = 6;
            record.tuple.source = bytemuck::cast("fd00::1".parse::<Ipv6Addr>().unwrap().octets());
            record.tuple.source_port = 40_000;
        });
        let Ok(Record::Packet(packet)) = decode(&bytes, at) else { panic!() };
        assert_eq!(packet.tuple.source.to_string(), "[fd00::1]:40000");
        assert_eq!(packet.tuple.destination.to_string(), "[::]:0");
    }

    #[test]
    fn icmp_kinds() {
        for (family, message, code, expected) in [
            (4, 3, 3, IcmpKind::PortUnreachable),
            (4, 3, 13, IcmpKind::Prohibited),
            (4, 3, 1, IcmpKind::Other),
            (4, 11, 0, IcmpKind::Other),
            (6, 1, 4, IcmpKind::PortUnreachable),
            (6, 1, 1, IcmpKind::Prohibited),
            (6, 2, 0, IcmpKind::Other),
        ] {
            assert_eq!(icmp_kind(family, message, code), expected, "{family} {message} {code}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes, at);
        }

        /// Random bytes with a valid record head, which pass the first checks.
        #[test]
        fn never_panics_with_a_good_head(kind in 1u8..4, length in prop_oneof![Just(88), Just(112), Just(96)],
                                         mut bytes in proptest::collection::vec(any::<u8>(), 112)) {
            bytes.truncate(length);
            bytes[16] = ABI_VERSION;
            bytes[17] = kind;
            let _ = decode(&bytes, at);
        }
    }
}
