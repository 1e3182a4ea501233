//! Sees the packets of a network namespace.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsRawFd as _, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Result};
use nix::{
    errno::Errno,
    sys::{
        socket::{
            AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, setsockopt, socket,
            sockopt::{RcvBufForce, ReceiveTimeout},
        },
        time::{TimeVal, TimeValLike as _},
    },
};

use super::{cast::Player, contact::Protocol};
use crate::netns::{Namespace, packet};

/// How much the kernel keeps for a sniffer that is late, in bytes.
const BUFFER: usize = 8 << 20;

/// How often a sniffer checks whether it should stop, in milliseconds.
const LOOK: i64 = 200;

/// A packet type of packet(7): sent by this host.
const OUTGOING: u8 = 4;
/// A packet type of packet(7): addressed to this host.
const HOST: u8 = 0;

/// The first packet of a contact, in one namespace.
#[derive(Clone, Debug)]
pub(super) struct Sighting {
    pub(super) at: Player,
    /// It came into the namespace, and was not sent in it.
    pub(super) is_inbound: bool,
    pub(super) protocol: Protocol,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) mark: Trace,
}

/// What no translation of addresses changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Trace {
    /// The sequence number of a SYN.
    Sequence(u32),
    /// The content of a datagram.
    Content(Vec<u8>),
}

/// Sniffers in several namespaces.
pub(super) struct Sniffers {
    stopped: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<Vec<Sighting>>>>,
}

impl Sniffers {
    /// Starts one in each namespace.
    pub(super) fn start<'a>(at: impl Iterator<Item = (Player, &'a Namespace)>) -> Result<Self> {
        let mut sniffers = Self { stopped: Arc::default(), threads: Vec::new() };
        for (member, namespace) in at {
            let socket = namespace.run(open)?.with_context(|| format!("a sniffer at {member}"))?;
            let stopped = Arc::clone(&sniffers.stopped);
            sniffers.threads.push(thread::spawn(move || sniff(&socket, member, &stopped)));
        }
        Ok(sniffers)
    }

    /// Stops all. Returns what they have seen.
    pub(super) fn stop(self) -> Result<Vec<Sighting>> {
        self.stopped.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for thread in self.threads {
            all.extend(thread.join().map_err(|_| anyhow::anyhow!("a sniffer has panicked"))??);
        }
        Ok(all)
    }
}

fn open() -> Result<OwnedFd> {
    let all = SockProtocol::EthAll;
    // Without the link layer's header: some interfaces have none.
    let socket = socket(AddressFamily::Packet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, all)?;
    setsockopt(&socket, RcvBufForce, &BUFFER)?;
    setsockopt(&socket, ReceiveTimeout, &TimeVal::milliseconds(LOOK))?;
    Ok(socket)
}

fn sniff(socket: &OwnedFd, at: Player, stopped: &AtomicBool) -> Result<Vec<Sighting>> {
    let mut seen = Vec::new();
    let mut buffer = [0; 2048];
    while !stopped.load(Ordering::Relaxed) {
        match recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut buffer) {
            Ok((length, Some(link))) if [HOST, OUTGOING].contains(&link.pkttype()) => {
                let is_inbound = link.pkttype() == HOST;
                seen.extend(parse(&buffer[..length]).map(|(protocol, source, destination, mark)| Sighting {
                    at,
                    is_inbound,
                    protocol,
                    source,
                    destination,
                    mark,
                }));
            }
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
            // An interface was taken away.
            Err(Errno::ENETDOWN) => {}
            Err(errno) => return Err(errno).with_context(|| format!("sniffing at {at}")),
        }
    }
    Ok(seen)
}

/// Reads a SYN or a datagram, from its IP header on. Other packets are `None`.
fn parse(bytes: &[u8]) -> Option<(Protocol, SocketAddr, SocketAddr, Trace)> {
    let (protocol, source, destination, segment) = addresses(bytes)?;
    let port = |at: usize| Some(u16::from_be_bytes(segment.get(at..at + 2)?.try_into().ok()?));
    let ends = [SocketAddr::new(source, port(0)?), SocketAddr::new(destination, port(2)?)];
    let (protocol, mark) = match protocol {
        packet::TCP => {
            let flags = segment.get(13)? & (packet::SYN | packet::ACK | packet::RST);
            let sequence = u32::from_be_bytes(segment.get(4..8)?.try_into().ok()?);
            (flags == packet::SYN).then_some((Protocol::Tcp, Trace::Sequence(sequence)))?
        }
        packet::UDP => (Protocol::Udp, Trace::Content(segment.get(8..)?.to_vec())),
        _ => return None,
    };
    let [source, destination] = ends;
    Some((protocol, source, destination, mark))
}

fn addresses(bytes: &[u8]) -> Option<(u8, IpAddr, IpAddr, &[u8])> {
    let array4 = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?));
    let array6 = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?));
    match bytes.first()? >> 4 {
        4 => {
            let header = usize::from(bytes.first()? & 0xf) * 4;
            let length = usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?));
            let segment = bytes.get(header..length.min(bytes.len()))?;
            Some((*bytes.get(9)?, array4(12)?.into(), array4(16)?.into(), segment))
        }
        6 => Some((*bytes.get(6)?, array6(8)?.into(), array6(24)?.into(), bytes.get(40..)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets() {
        for [source, destination] in [["10.0.0.1:7", "10.0.0.2:80"], ["[fd00::1]:7", "[fd00::2]:80"]] {
            let [source, destination] = [source, destination].map(|text| text.parse().unwrap());
            let syn = packet::tcp(source, destination, packet::SYN, b"");
            let expected = (Protocol::Tcp, source, destination, Trace::Sequence(1));
            assert_eq!(parse(&syn), Some(expected));
            let answer = packet::tcp(source, destination, packet::SYN | packet::ACK, b"");
            assert_eq!(parse(&answer), None);
            let datagram = packet::udp(source, destination, b"hello");
            let expected = (Protocol::Udp, source, destination, Trace::Content(b"hello".to_vec()));
            assert_eq!(parse(&datagram), Some(expected));
            assert_eq!(parse(&datagram[..12]), None);
        }
    }
}
