//! Parses the headers of a packet: addresses, protocol, ports and flags.

use netpol_common::{Counter, FlowTuple};

use crate::read::Read;

/// EtherTypes (IEEE 802).
pub(crate) const ETHERTYPE_IPV4: u16 = 0x0800;
pub(crate) const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_QINQ: u16 = 0x88a8;

/// Length of an Ethernet header without VLAN tags.
pub(crate) const ETHERNET: usize = 14;
const VLAN_TAG: usize = 4;

/// IP protocol numbers (IANA).
pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMPV6: u8 = 58;
pub(crate) const SCTP: u8 = 132;

/// IPv6 extension headers (RFC 8200, section 4; AH is RFC 4302; the last three are RFC 6275, 7401 and 5533).
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
const MOBILITY: u8 = 135;
const HIP: u8 = 139;
const SHIM6: u8 = 140;

/// The number of extension headers that the parser reads. Only crafted packets have more.
const MAX_EXTENSION_HEADERS: usize = 8;

/// Why a packet is not recorded.
#[derive(Clone, Copy)]
pub(crate) enum Skip {
    /// The packet is neither IPv4 nor IPv6, or it is of no interest: ARP, neighbour discovery.
    Ignored,
    /// The packet is counted in this counter.
    Counted(Counter),
}

/// Chunk type of an INIT, which begins with its sender's tag (RFC 9260, section 3.3.2).
const SCTP_INIT: u8 = 1;

const TRUNCATED: Skip = Skip::Counted(Counter::Truncated);

/// The parsed headers of a packet.
#[derive(Clone, Copy)]
pub(crate) struct Packet {
    pub(crate) tuple: FlowTuple,
    pub(crate) sequence: u32,
    pub(crate) acknowledgment: u32,
    pub(crate) tcp_flags: u8,
    pub(crate) message: u8,
    pub(crate) code: u8,
    /// The offset of the transport header, in bytes.
    pub(crate) transport: usize,
}

impl Packet {
    #[inline(always)]
    pub(crate) const fn new() -> Self {
        Self {
            tuple: FlowTuple {
                source: [0; 4],
                destination: [0; 4],
                source_port: 0,
                destination_port: 0,
                protocol: 0,
                family: 0,
                padding: 0,
            },
            sequence: 0,
            acknowledgment: 0,
            tcp_flags: 0,
            message: 0,
            code: 0,
            transport: 0,
        }
    }
}

/// Returns the EtherType of the frame and the offset of its payload, after up to two VLAN tags.
#[inline(always)]
pub(crate) fn ethernet<R: Read>(read: &R) -> Result<(u16, usize), Skip> {
    let mut ethertype = u16::from_be(read.load(ETHERNET - 2).ok_or(TRUNCATED)?);
    let mut offset = ETHERNET;
    for _ in 0..2 {
        if ethertype != ETHERTYPE_VLAN && ethertype != ETHERTYPE_QINQ {
            break;
        }
        ethertype = u16::from_be(read.load(offset + 2).ok_or(TRUNCATED)?);
        offset += VLAN_TAG;
    }
    Ok((ethertype, offset))
}

/// Reads the addresses and the protocol from the IP header at `offset`.
#[inline(always)]
pub(crate) fn network<R: Read>(
    read: &R,
    ethertype: u16,
    offset: usize,
    packet: &mut Packet,
) -> Result<(), Skip> {
    match ethertype {
        ETHERTYPE_IPV4 => ipv4(read, offset, packet),
        ETHERTYPE_IPV6 => ipv6(read, offset, packet),
        _ => Err(Skip::Ignored),
    }
}

/// Reads the common form of an IP header: IPv4 without options that is not a fragment, or IPv6 without extension
/// headers. Returns `false` for any other form. [`network`] reads these.
#[inline(always)]
pub(crate) fn plain_network<R: Read>(read: &R, ethertype: u16, packet: &mut Packet) -> bool {
    match ethertype {
        ETHERTYPE_IPV4 => {
            let Some(words) = read.load::<[u32; 5]>(ETHERNET) else { return false };
            packet.transport = ETHERNET + 20;
            set_ipv4(words, packet);
            u32::from_be(words[0]) >> 24 == 0x45 && u32::from_be(words[1]) & 0x3fff == 0
        }
        ETHERTYPE_IPV6 => {
            let Some(words) = read.load::<[u32; 10]>(ETHERNET) else { return false };
            packet.transport = ETHERNET + 40;
            set_ipv6(words, packet);
            packet.tuple.protocol = (u32::from_be(words[1]) >> 8) as u8;
            matches!(packet.tuple.protocol, TCP | UDP | SCTP | ICMPV6)
        }
        _ => false,
    }
}

/// Reads an IPv4 header. It is loaded as a whole, with one bounds check. A check for each field would be slower, and
/// the verifier would not know which check covers which field.
#[inline(always)]
fn ipv4<R: Read>(read: &R, offset: usize, packet: &mut Packet) -> Result<(), Skip> {
    let words: [u32; 5] = read.load(offset).ok_or(TRUNCATED)?;
    let version_length = u32::from_be(words[0]) >> 24;
    let length = (version_length as usize & 0x0f) * 4;
    if version_length >> 4 != 4 || length < 20 {
        return Err(TRUNCATED);
    }
    set_ipv4(words, packet);
    packet.transport = offset + length;
    // The low 13 bits are the fragment offset (RFC 791, section 3.1). Only the first fragment has the ports.
    if u32::from_be(words[1]) & 0x1fff != 0 {
        return Err(Skip::Counted(Counter::FragmentLater));
    }
    Ok(())
}

#[inline(always)]
fn set_ipv4([_, _, third, source, destination]: [u32; 5], packet: &mut Packet) {
    packet.tuple.family = 4;
    packet.tuple.protocol = (u32::from_be(third) >> 16) as u8;
    packet.tuple.source[0] = source;
    packet.tuple.destination[0] = destination;
}

#[inline(always)]
fn set_ipv6([_, _, s0, s1, s2, s3, d0, d1, d2, d3]: [u32; 10], packet: &mut Packet) {
    packet.tuple.family = 6;
    packet.tuple.source = [s0, s1, s2, s3];
    packet.tuple.destination = [d0, d1, d2, d3];
}

#[inline(always)]
fn ipv6<R: Read>(read: &R, offset: usize, packet: &mut Packet) -> Result<(), Skip> {
    let words: [u32; 10] = read.load(offset).ok_or(TRUNCATED)?;
    if u32::from_be(words[0]) >> 28 != 6 {
        return Err(TRUNCATED);
    }
    set_ipv6(words, packet);
    let mut next = (u32::from_be(words[1]) >> 8) as u8;
    let mut at = offset + 40;
    for _ in 0..MAX_EXTENSION_HEADERS {
        let units = match next {
            HOP_BY_HOP | ROUTING | DESTINATION | MOBILITY | HIP | SHIM6 => 8,
            AUTHENTICATION => 4,
            FRAGMENT => 0,
            _ => {
                packet.tuple.protocol = next;
                packet.transport = at;
                return Ok(());
            }
        };
        let [start, position]: [u16; 2] = read.load(at).ok_or(TRUNCATED)?;
        let [following, length] = start.to_ne_bytes();
        if next == FRAGMENT {
            let position = u16::from_be(position);
            if position & 0xfff8 != 0 {
                return Err(Skip::Counted(Counter::FragmentLater));
            }
            at += 8;
        } else if units == 4 {
            // The length of AH is in 4-byte units, minus two (RFC 4302, section 2.2).
            at += (usize::from(length) + 2) * 4;
        } else {
            at += (usize::from(length) + 1) * 8;
        }
        next = following;
    }
    Err(Skip::Counted(Counter::ExtensionHeaders))
}

/// Reads the ports, flags and types from the transport header.
#[inline(always)]
pub(crate) fn transport<R: Read>(read: &R, packet: &mut Packet) -> Result<(), Skip> {
    let at = packet.transport;
    match packet.tuple.protocol {
        TCP => {
            let [ports, sequence, acknowledgment, flags]: [u32; 4] = read.load(at).ok_or(TRUNCATED)?;
            set_ports(packet, ports);
            packet.sequence = u32::from_be(sequence);
            packet.acknowledgment = u32::from_be(acknowledgment);
            packet.tcp_flags = (u32::from_be(flags) >> 16) as u8;
        }
        UDP => set_ports(packet, read.load(at).ok_or(TRUNCATED)?),
        SCTP => {
            let [ports, tag, _checksum, chunk]: [u32; 4] = read.load(at).ok_or(TRUNCATED)?;
            set_ports(packet, ports);
            packet.acknowledgment = u32::from_be(tag);
            packet.message = (u32::from_be(chunk) >> 24) as u8;
            if packet.message == SCTP_INIT {
                packet.sequence = u32::from_be(read.load(at + 16).ok_or(TRUNCATED)?);
            }
        }
        ICMP | ICMPV6 => {
            let [start, identifier]: [u32; 2] = read.load(at).ok_or(TRUNCATED)?;
            packet.message = (u32::from_be(start) >> 24) as u8;
            packet.code = (u32::from_be(start) >> 16) as u8;
            if is_echo(packet) {
                let identifier = (u32::from_be(identifier) >> 16) as u16;
                packet.tuple.source_port = identifier;
                packet.tuple.destination_port = identifier;
            }
        }
        _ => return Err(Skip::Counted(Counter::OtherProtocol)),
    }
    Ok(())
}

/// Reads the IP header of a packet that is quoted in an ICMP error. IPv6 extension headers are not read: an error with
/// them is not useful, and is ignored.
#[inline(always)]
pub(crate) fn quoted_network<R: Read>(
    read: &R,
    ethertype: u16,
    offset: usize,
    packet: &mut Packet,
) -> Result<(), Skip> {
    if ethertype == ETHERTYPE_IPV4 {
        return ipv4(read, offset, packet);
    }
    let words: [u32; 10] = read.load(offset).ok_or(TRUNCATED)?;
    set_ipv6(words, packet);
    packet.tuple.protocol = (u32::from_be(words[1]) >> 8) as u8;
    packet.transport = offset + 40;
    Ok(())
}

/// Reads the transport header of a packet that is quoted in an ICMP error. Only its first eight bytes are guaranteed
/// to be present (RFC 792).
#[inline(always)]
pub(crate) fn quoted_transport<R: Read>(read: &R, packet: &mut Packet) -> Result<(), Skip> {
    match packet.tuple.protocol {
        TCP | SCTP => {
            let [ports, sequence]: [u32; 2] = read.load(packet.transport).ok_or(TRUNCATED)?;
            set_ports(packet, ports);
            packet.sequence = u32::from_be(sequence);
            Ok(())
        }
        UDP | ICMP | ICMPV6 => transport(read, packet),
        _ => Err(Skip::Ignored),
    }
}

/// Sets the ports from the first word of a TCP, UDP or SCTP header.
#[inline(always)]
fn set_ports(packet: &mut Packet, word: u32) {
    let word = u32::from_be(word);
    packet.tuple.source_port = (word >> 16) as u16;
    packet.tuple.destination_port = word as u16;
}

/// Returns true for an echo request or reply: types 8 and 0 of ICMP (RFC 792), 128 and 129 of ICMPv6 (RFC 4443).
#[inline(always)]
pub(crate) fn is_echo(packet: &Packet) -> bool {
    match packet.tuple.protocol {
        ICMP => packet.message == 8 || packet.message == 0,
        ICMPV6 => packet.message == 128 || packet.message == 129,
        _ => false,
    }
}

/// Returns true for an error that quotes a packet: destination unreachable, time exceeded, parameter problem and, for
/// ICMPv6, packet too big (RFC 792; RFC 4443, section 2.1).
#[inline(always)]
pub(crate) fn is_icmp_error(packet: &Packet) -> bool {
    match packet.tuple.protocol {
        ICMP => matches!(packet.message, 3 | 11 | 12),
        ICMPV6 => matches!(packet.message, 1..=4),
        _ => false,
    }
}
