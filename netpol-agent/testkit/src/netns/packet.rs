//! Creates packets that can't be sent through ordinary sockets.
//!
//! All functions that return a packet begin with the IP header; [`Pod::send`](super::Pod::send) puts it on the wire.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// TCP flag: the sender has no more data.
pub const FIN: u8 = 0x01;
/// TCP flag: the first segment.
pub const SYN: u8 = 0x02;
/// TCP flag: reset.
pub const RST: u8 = 0x04;
/// TCP flag: the acknowledgement number is valid.
pub const ACK: u8 = 0x10;

/// Protocol number of ICMP.
pub const ICMP: u8 = 1;
/// Protocol number of TCP.
pub const TCP: u8 = 6;
/// Protocol number of UDP.
pub const UDP: u8 = 17;
/// Protocol number of ICMPv6.
pub const ICMPV6: u8 = 58;
/// Protocol number of SCTP.
pub const SCTP: u8 = 132;

/// IPv6 extension header: hop-by-hop options.
pub const HOP_BY_HOP: u8 = 0;
/// IPv6 extension header: routing.
pub const ROUTING: u8 = 43;
/// IPv6 extension header: fragment.
pub const FRAGMENT: u8 = 44;
/// IPv6 extension header: destination options.
pub const DESTINATION_OPTIONS: u8 = 60;

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;

/// A TCP segment with these flags (such as `SYN | ACK`).
pub fn tcp(from: SocketAddr, to: SocketAddr, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut segment = ports(from, to);
    segment.extend(1_u32.to_be_bytes()); // Sequence number.
    segment.extend(u32::from(flags & ACK != 0).to_be_bytes()); // Acknowledgement number.
    segment.extend([5 << 4, flags, 0xff, 0xff, 0, 0, 0, 0]); // Length, flags, window, checksum, urgent pointer.
    segment.extend(payload);
    seal(from, to, TCP, segment, 16)
}

/// A UDP datagram.
pub fn udp(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut datagram = ports(from, to);
    datagram.extend((8 + payload.len() as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    seal(from, to, UDP, datagram, 6)
}

/// An SCTP packet with one chunk.
pub fn sctp(from: SocketAddr, to: SocketAddr, tag: u32, chunk: &[u8]) -> Vec<u8> {
    ip(from.ip(), to.ip(), SCTP, &sctp_segment(from.port(), to.port(), tag, chunk))
}

/// An ICMP or ICMPv6 echo request.
pub fn echo(from: IpAddr, to: IpAddr, identifier: u16, sequence: u16) -> Vec<u8> {
    let protocol = if to.is_ipv6() { ICMPV6 } else { ICMP };
    let message = echo_request(to.is_ipv6(), identifier, sequence);
    let (from, to) = (SocketAddr::new(from, 0), SocketAddr::new(to, 0));
    seal(from, to, protocol, message, 2)
}

/// An IP packet with any payload. Nothing is checked.
pub fn ip(from: IpAddr, to: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut packet = vec![0x45, 0];
            packet.extend(((IPV4_HEADER + payload.len()) as u16).to_be_bytes());
            packet.extend([0, 1, 0, 0, 64, protocol, 0, 0]); // Identifier, fragment offset, TTL.
            packet.extend(from.octets());
            packet.extend(to.octets());
            packet.extend(payload);
            with_header_checksum(packet)
        }
        (from, to) => {
            let mut packet = vec![0x60, 0, 0, 0];
            packet.extend((payload.len() as u16).to_be_bytes());
            packet.extend([protocol, 64]);
            packet.extend(v6(from).octets());
            packet.extend(v6(to).octets());
            packet.extend(payload);
            packet
        }
    }
}

/// An ICMP or ICMPv6 error, "administratively prohibited", about a packet that begins with its IP header.
pub fn prohibited(from: IpAddr, to: IpAddr, about: &[u8]) -> Vec<u8> {
    let (protocol, kind, code) = if to.is_ipv6() { (ICMPV6, 1, 1) } else { (ICMP, 3, 13) };
    let message = [&[kind, code, 0, 0, 0, 0, 0, 0], about].concat();
    seal(SocketAddr::new(from, 0), SocketAddr::new(to, 0), protocol, message, 2)
}

/// Sets the number of routers that a packet may pass: its TTL or hop limit.
pub fn with_ttl(mut packet: Vec<u8>, ttl: u8) -> Vec<u8> {
    if packet[0] >> 4 == 6 {
        packet[7] = ttl;
        return packet;
    }
    packet[8] = ttl;
    with_header_checksum(packet)
}

/// Adds IPv4 options to a packet. Their length must be a multiple of four bytes. `[1; 4]` is four no-operation
/// options.
pub fn with_options(packet: &[u8], options: &[u8]) -> Vec<u8> {
    let (header, payload) = packet.split_at(IPV4_HEADER);
    let mut longer = [header, options, payload].concat();
    longer[0] = 0x40 | ((IPV4_HEADER + options.len()) / 4) as u8;
    let length = longer.len() as u16;
    longer[2..4].copy_from_slice(&length.to_be_bytes());
    with_header_checksum(longer)
}

/// Adds IPv6 extension headers of these kinds to a packet, in this order. Each has eight bytes and no effect. A
/// fragment header says that the packet is the only fragment.
pub fn with_extensions(packet: &[u8], kinds: &[u8]) -> Vec<u8> {
    let (header, payload) = packet.split_at(IPV6_HEADER);
    let mut longer = header.to_vec();
    let mut next = longer[6];
    let mut rest = payload.to_vec();
    for kind in kinds.iter().rev() {
        let mut extension = match *kind {
            FRAGMENT => vec![next, 0, 0, 0, 0, 0, 0, 7],
            // Type 4 (segment routing) with no segments left.
            ROUTING => vec![next, 0, 4, 0, 0, 0, 0, 0],
            // One padding option.
            _ => vec![next, 0, 1, 4, 0, 0, 0, 0],
        };
        extension.append(&mut rest);
        (next, rest) = (*kind, extension);
    }
    longer[6] = next;
    longer[4..6].copy_from_slice(&(rest.len() as u16).to_be_bytes());
    longer.append(&mut rest);
    longer
}

/// Splits a packet into fragments with at most `size` bytes of payload each (rounded down to a multiple of eight).
pub fn fragments(packet: &[u8], size: usize) -> Vec<Vec<u8>> {
    let header = if packet[0] >> 4 == 4 { IPV4_HEADER } else { IPV6_HEADER };
    let (header, payload) = packet.split_at(header);
    let size = (size / 8).max(1) * 8;
    let chunks: Vec<_> = payload.chunks(size).collect();
    let last = chunks.len() - 1;
    let fragment = |(index, chunk): (usize, &&[u8])| {
        let offset = (index * size / 8) as u16;
        if header.len() == IPV4_HEADER {
            fragment4(header, chunk, offset, index < last)
        } else {
            fragment6(header, chunk, offset, index < last)
        }
    };
    chunks.iter().enumerate().map(fragment).collect()
}

fn fragment4(header: &[u8], chunk: &[u8], offset: u16, more: bool) -> Vec<u8> {
    let mut fragment = [header, chunk].concat();
    let length = fragment.len() as u16;
    fragment[2..4].copy_from_slice(&length.to_be_bytes());
    fragment[6..8].copy_from_slice(&(offset | u16::from(more) << 13).to_be_bytes());
    with_header_checksum(fragment)
}

fn fragment6(header: &[u8], chunk: &[u8], offset: u16, more: bool) -> Vec<u8> {
    let position = (offset << 3 | u16::from(more)).to_be_bytes();
    let extension = [header[6], 0, position[0], position[1], 0, 0, 0, 7];
    let mut fragment = [header, &extension, chunk].concat();
    fragment[6] = FRAGMENT;
    let length = (fragment.len() - IPV6_HEADER) as u16;
    fragment[4..6].copy_from_slice(&length.to_be_bytes());
    fragment
}

/// An SCTP packet without its IP header.
pub(super) fn sctp_segment(from: u16, to: u16, tag: u32, chunk: &[u8]) -> Vec<u8> {
    let mut segment = [from.to_be_bytes(), to.to_be_bytes()].concat();
    segment.extend(tag.to_be_bytes());
    segment.extend([0; 4]);
    segment.extend(chunk);
    let checksum = crc32c(&segment);
    segment[8..12].copy_from_slice(&checksum.to_le_bytes());
    segment
}

/// An echo request without its IP header; its checksum is zero.
pub(super) fn echo_request(ipv6: bool, identifier: u16, sequence: u16) -> Vec<u8> {
    let mut message = vec![if ipv6 { 128 } else { 8 }, 0, 0, 0];
    message.extend(identifier.to_be_bytes());
    message.extend(sequence.to_be_bytes());
    message.extend(b"netpol lab");
    message
}

fn ports(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    [from.port().to_be_bytes(), to.port().to_be_bytes()].concat()
}

/// Sets the checksum at `at` in the payload, including the pseudo header if the protocol has one, and adds the IP
/// header.
fn seal(from: SocketAddr, to: SocketAddr, protocol: u8, mut payload: Vec<u8>, at: usize) -> Vec<u8> {
    let mut pseudo = Vec::new();
    if protocol != ICMP {
        match (from.ip(), to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => pseudo.extend([from.octets(), to.octets()].concat()),
            (from, to) => pseudo.extend([v6(from).octets(), v6(to).octets()].concat()),
        }
        pseudo.extend([0, protocol]);
        pseudo.extend((payload.len() as u16).to_be_bytes());
    }
    pseudo.extend(&payload);
    let checksum = internet_checksum(&pseudo);
    payload[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
    ip(from.ip(), to.ip(), protocol, &payload)
}

fn with_header_checksum(mut packet: Vec<u8>) -> Vec<u8> {
    let length = usize::from(packet[0] & 0xf) * 4;
    packet[10..12].fill(0);
    let checksum = internet_checksum(&packet[..length]);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet
}

fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// The Internet checksum (RFC 1071).
fn internet_checksum(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low));
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// CRC32c: Castagnoli's polynomial, lowest bit first (RFC 9260, appendix A).
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_match_known_answers() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        // The example of RFC 1071, section 3.
        assert_eq!(!internet_checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
    }

    #[test]
    fn fragments_cover_the_packet() {
        for (from, to) in [("10.0.0.1:1", "10.0.0.2:2"), ("[fd00::1]:1", "[fd00::2]:2")] {
            let packet = udp(from.parse().unwrap(), to.parse().unwrap(), &[7; 100]);
            let overhead = if packet[0] >> 4 == 4 { 20 } else { 48 };
            let parts = fragments(&packet, 50);
            assert_eq!(parts.iter().map(|part| part.len() - overhead).collect::<Vec<_>>(), [48, 48, 12]);
        }
    }
}
