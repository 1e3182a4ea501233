//! What the TC programs do with a packet: look, perhaps record, let it go on.

use aya_ebpf::programs::TcContext;
use aya_log_ebpf::debug;
use netpol_common::{Direction, tcp};

use crate::{
    emit::{self, Place},
    maps::count,
    parse::{self, ETHERNET, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Packet, SCTP, Skip, TCP, UDP},
    read::{Copied, Linear, Read},
};

/// TCP flags that are worth a record; a segment without any of them is data or an acknowledgment.
///
/// A connection's end is told by the side that ends it, as it leaves that side's pod: once, not at each veth that it
/// passes.
#[inline(always)]
const fn control(direction: Direction) -> u8 {
    match direction {
        Direction::FromPod => tcp::SYN | tcp::RST | tcp::FIN,
        Direction::ToPod => tcp::SYN | tcp::RST,
    }
}

/// SCTP chunk types that open or end an association (RFC 9260, section 3.2): INIT, INIT ACK, ABORT, SHUTDOWN and
/// SHUTDOWN COMPLETE.
const SCTP_CONTROL: [u8; 5] = [1, 2, 6, 7, 14];

/// An IPv4 header without options and a TCP header as far as its flags.
#[repr(C)]
#[derive(Clone, Copy)]
struct Ipv4Tcp {
    version_length: u8,
    _service: u8,
    _length: u16,
    _identification: u16,
    fragment: u16,
    _ttl: u8,
    protocol: u8,
    _checksum: u16,
    _addresses: [u16; 4],
    _tcp: [u16; 6],
    _offset: u8,
    flags: u8,
}

/// An IPv6 header and a TCP header as far as its flags.
#[repr(C)]
#[derive(Clone, Copy)]
struct Ipv6Tcp {
    _class_length: [u16; 3],
    next: u8,
    _hops: u8,
    _addresses: [u16; 16],
    _tcp: [u16; 6],
    _offset: u8,
    flags: u8,
}

/// Looks at one packet.
#[inline(always)]
pub(crate) fn observe(context: &TcContext, direction: Direction) {
    if !is_tcp_data(&Linear::new(context), control(direction)) && !inspect(context, direction) {
        inspect_odd(context, direction);
    }
}

/// The common case, told from a few bytes: an IPv4 packet without options, not a fragment, or an IPv6 packet without
/// extension headers, with a TCP segment that neither opens nor ends a connection.
#[inline(always)]
fn is_tcp_data(read: &Linear, control: u8) -> bool {
    let Some(ethertype) = read.load::<u16>(ETHERNET - 2) else { return false };
    let flags: u8 = match u16::from_be(ethertype) {
        ETHERTYPE_IPV4 => {
            let Some(header) = read.load::<Ipv4Tcp>(ETHERNET) else { return false };
            if header.version_length != 0x45
                || header.protocol != TCP
                || u16::from_be(header.fragment) & 0x3fff != 0
            {
                return false;
            }
            header.flags
        }
        ETHERTYPE_IPV6 => {
            let Some(header) = read.load::<Ipv6Tcp>(ETHERNET) else { return false };
            if header.next != TCP {
                return false;
            }
            header.flags
        }
        _ => return false,
    };
    flags & control == 0
}

/// Where a packet is, and its length.
#[inline(always)]
fn place(context: &TcContext, direction: Direction) -> (Place, u32) {
    // SAFETY: the kernel hands a valid `__sk_buff` to the program.
    let (ifindex, length) = unsafe { ((*context.skb.skb).ifindex, (*context.skb.skb).len) };
    (Place { ifindex, direction }, length)
}

/// Everything else; `false` where it is not of the form that nearly all packets have. Not inlined: its stack is then its
/// own, and the path of data packets stays short.
#[inline(never)]
fn inspect(context: &TcContext, direction: Direction) -> bool {
    let (place, length) = place(context, direction);
    record_plain(&Linear::new(context), place, length)
}

/// The headers that nearly all packets have, at fixed places, read in place. `false` where they are of another form.
#[inline(always)]
fn record_plain(read: &Linear, place: Place, length: u32) -> bool {
    let Some(ethertype) = read.load::<u16>(ETHERNET - 2) else { return false };
    let mut packet = Packet::new();
    if !parse::plain_network(read, u16::from_be(ethertype), &mut packet)
        || parse::transport(read, &mut packet).is_err()
        || parse::is_icmp_error(&packet)
    {
        return false;
    }
    record_transport(&packet, place, length);
    true
}

/// What is out of the ordinary: options, extension headers, VLAN tags, fragments, ICMP errors, packets whose headers
/// are not in the linear part. It is rare, and copying the headers out keeps the verifier's work small. Called beside
/// [`inspect`] and not by it: all stacks of a chain of calls have to fit into 512 bytes.
#[inline(never)]
fn inspect_odd(context: &TcContext, direction: Direction) {
    let (place, length) = place(context, direction);
    if let Err(Skip::Counted(counter)) = record_odd(&Copied(context), place, length) {
        count(counter);
        debug!(
            context,
            "ifindex {} direction {}: not recorded, counter {}",
            place.ifindex,
            direction as u8,
            counter as u32
        );
    }
}

#[inline(always)]
fn record_odd<R: Read>(read: &R, place: Place, length: u32) -> Result<(), Skip> {
    let (ethertype, offset) = parse::ethernet(read)?;
    let mut packet = Packet::new();
    parse::network(read, ethertype, offset, &mut packet)?;
    parse::transport(read, &mut packet)?;
    if parse::is_icmp_error(&packet) {
        record_icmp_error(read, place, ethertype, &packet)?;
    } else {
        record_transport(&packet, place, length);
    }
    Ok(())
}

/// Records the packet if it opens, answers or ends a connection.
#[inline(always)]
fn record_transport(packet: &Packet, place: Place, length: u32) {
    match packet.tuple.protocol {
        TCP => {
            if packet.tcp_flags & control(place.direction) != 0 {
                emit::packet(place, packet, length);
            }
        }
        UDP => emit::sampled(place, packet, length),
        SCTP => {
            if SCTP_CONTROL.contains(&packet.message) {
                emit::packet(place, packet, length);
            }
        }
        _ => {
            if parse::is_echo(packet) {
                emit::sampled(place, packet, length);
            }
        }
    }
}

/// A quoted packet is read in its common form alone: with options or extension headers the eight bytes that are sure
/// to be quoted of it tell nothing.
#[inline(always)]
fn record_icmp_error<R: Read>(read: &R, place: Place, ethertype: u16, packet: &Packet) -> Result<(), Skip> {
    /// Length of the ICMP header before the quoted packet (RFC 792, RFC 4443).
    const ICMP_HEADER: usize = 8;
    let mut quoted = Packet::new();
    parse::quoted_network(read, ethertype, packet.transport + ICMP_HEADER, &mut quoted)?;
    parse::quoted_transport(read, &mut quoted)?;
    emit::icmp_error(place, packet, &quoted);
    Ok(())
}
