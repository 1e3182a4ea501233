//! The TC programs: they inspect each packet at a pod's interface, and record it if it opens, answers or ends a
//! connection.

use aya_ebpf::programs::TcContext;
use aya_log_ebpf::debug;
use netpol_common::{Direction, tcp};

use crate::{
    device,
    emit::{self, Place},
    maps::count,
    parse::{self, ETHERNET, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Packet, SCTP, Skip, TCP, UDP},
    read::{Copied, Linear, Read},
};

/// The TCP flags of segments that are recorded. A segment without any of them is data or an acknowledgment.
///
/// A FIN is recorded only when it leaves the pod that sends it, and not at each interface that it passes.
#[inline(always)]
const fn control(direction: Direction) -> u8 {
    match direction {
        Direction::FromPod => tcp::SYN | tcp::RST | tcp::FIN,
        Direction::ToPod => tcp::SYN | tcp::RST,
        Direction::OutOfNode => tcp::SYN | tcp::RST,
    }
}

/// SCTP chunk types that open or end an association (RFC 9260, section 3.2): INIT, INIT ACK, ABORT, SHUTDOWN and
/// SHUTDOWN COMPLETE.
const SCTP_CONTROL: [u8; 5] = [1, 2, 6, 7, 14];

/// An IPv4 header without options, and a TCP header up to its flags.
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

/// An IPv6 header, and a TCP header up to its flags.
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

/// Inspects a packet that leaves the node. Those that the node itself sends did not come in through any interface.
#[inline(always)]
pub(crate) fn observe_exit(context: &TcContext) {
    // SAFETY: the kernel hands a valid `__sk_buff` to the program.
    if unsafe { (*context.skb.skb).ingress_ifindex } != 0 {
        observe(context, Direction::OutOfNode);
    }
}

/// Inspects one packet.
#[inline(always)]
pub(crate) fn observe(context: &TcContext, direction: Direction) {
    if !is_tcp_data(&Linear::new(context), control(direction)) && !inspect(context, direction) {
        inspect_odd(context, direction);
    }
}

/// Returns true for the common case, which a few bytes are enough to recognise: a TCP segment that neither opens nor
/// ends a connection, in an IPv4 packet without options that is not a fragment, or in an IPv6 packet without extension
/// headers.
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

/// Returns the interface and direction of a packet, and its length in bytes.
#[inline(always)]
fn place(context: &TcContext, direction: Direction) -> (Place, u32) {
    // SAFETY: the kernel hands a valid `__sk_buff` to the program.
    let (ifindex, length) = unsafe { ((*context.skb.skb).ifindex, (*context.skb.skb).len) };
    // The context is the kernel's own structure; only direct access to it is translated by the verifier.
    (Place { ifindex, device: device::address(context.skb.skb as usize), direction }, length)
}

/// Records all other packets with common headers. Returns `false` if the headers have another form. This is not
/// inlined, so that it has its own stack and the path of data packets stays short.
#[inline(never)]
fn inspect(context: &TcContext, direction: Direction) -> bool {
    let (place, length) = place(context, direction);
    record_plain(&Linear::new(context), place, length)
}

/// Records a packet whose headers have the form that nearly all packets have. They are at fixed offsets and are read
/// in place. Returns `false` if the headers have another form.
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

/// Records packets with uncommon headers: options, extension headers, VLAN tags, fragments, ICMP errors, and packets
/// whose headers are not in the linear part.
///
/// These packets are rare. Copying their headers keeps the verifier's work small. [`inspect`] does not call this
/// function, because the stacks of all functions in a call chain must fit into 512 bytes.
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

/// Records an ICMP error. The quoted packet is read only in its common form: with options or extension headers, the
/// eight bytes that are guaranteed to be quoted contain nothing useful.
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
