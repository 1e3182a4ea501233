//! Records every packet at an interface: what arrives before any filter of the receiver, and what leaves behind any
//! filter of the sender.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::{
    net::if_::if_nametoindex,
    sys::socket::{
        AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, setsockopt, socket,
        sockopt::RcvBufForce,
    },
};
use socket2::Socket;

use super::tuple::{Transport, Tuple};
use crate::netns::{Namespace, Pod, packet};

/// `PACKET_OUTGOING`: the interface sends it.
const OUTGOING: u8 = 4;

/// How often to look whether to stop.
const LOOK: Duration = Duration::from_millis(100);

/// Room for packets that the thread has not read yet.
const BUFFER: usize = 16 << 20;

/// A packet at an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    /// Since the beginning of the round.
    pub(super) at: Duration,
    /// Whether it came in from the node; otherwise the pod sent it.
    pub(super) is_arrival: bool,
    pub(super) tuple: Tuple,
    /// What tells packets of a tuple apart.
    pub(super) mark: Mark,
}

/// What tells packets of a tuple apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// TCP flags.
    pub(super) flags: u8,
    /// The TCP sequence number; of SCTP the verification tag.
    pub(super) sequence: u32,
    /// The length of the IP packet.
    pub(super) length: u16,
}

/// A thread that records the packets of one pod or host.
#[derive(Debug)]
pub(super) struct Sniffer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Sight>>,
}

/// What was seen at a pod's interface.
#[derive(Debug)]
pub(super) struct Sights {
    pub(super) ips: Vec<IpAddr>,
    pub(super) packets: Vec<Sight>,
}

impl Sniffer {
    /// Starts to record. Times are counted from `start`.
    ///
    /// # Errors
    /// The process lacks `CAP_NET_RAW`.
    pub(super) fn start(pod: &Namespace, start: Instant) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = pod.run(|| {
            let (socket, index) = open().context("opening a packet socket to watch a pod")?;
            anyhow::Ok(thread::spawn(move || record(&socket, index, start, &stopped)))
        })??;
        Ok(Self { stop, thread })
    }

    /// Stops, and returns what was seen of the pod with these addresses.
    pub(super) fn stop(self, ips: Vec<IpAddr>) -> Sights {
        self.stop.store(true, Ordering::Relaxed);
        Sights { ips, packets: self.thread.join().unwrap_or_default() }
    }
}

fn open() -> Result<(Socket, usize)> {
    let index = if_nametoindex(Pod::IFNAME)?;
    // Without the link-layer header.
    let fd = socket(AddressFamily::Packet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)?;
    setsockopt(&fd, RcvBufForce, &BUFFER)?;
    let socket = Socket::from(fd);
    socket.set_read_timeout(Some(LOOK))?;
    Ok((socket, index as usize))
}

fn record(socket: &Socket, index: usize, start: Instant, stop: &AtomicBool) -> Vec<Sight> {
    let mut sights = Vec::new();
    let mut buffer = [0; 256];
    loop {
        match recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut buffer) {
            Ok((length, Some(link))) if link.ifindex() == index => {
                let at = start.elapsed();
                let is_arrival = link.pkttype() != OUTGOING;
                if let Some((tuple, mark)) = parse(&buffer[..length.min(buffer.len())]) {
                    sights.push(Sight { at, is_arrival, tuple, mark });
                }
            }
            Ok(_) => {}
            // What had arrived before the stop has been read.
            Err(nix::errno::Errno::EAGAIN) if stop.load(Ordering::Relaxed) => return sights,
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => {}
            Err(error) => {
                eprintln!("soak: watching a pod: {}", io::Error::from(error));
                return sights;
            }
        }
    }
}

/// The tuple and the mark of a packet that begins with its IP header. Errors of ICMP and echo replies have none.
fn parse(bytes: &[u8]) -> Option<(Tuple, Mark)> {
    let (protocol, from, to, length, payload) = match bytes.first()? >> 4 {
        4 => {
            let header = usize::from(bytes[0] & 0xf) * 4;
            let is_later_fragment = u16::from_be_bytes(at(bytes, 6)?) & 0x1fff != 0;
            let (from, to) = (IpAddr::from(at::<4>(bytes, 12)?), IpAddr::from(at::<4>(bytes, 16)?));
            if is_later_fragment {
                return None;
            }
            (*bytes.get(9)?, from, to, u16::from_be_bytes(at(bytes, 2)?), bytes.get(header..)?)
        }
        6 => {
            let (from, to) = (IpAddr::from(at::<16>(bytes, 8)?), IpAddr::from(at::<16>(bytes, 24)?));
            (*bytes.get(6)?, from, to, u16::from_be_bytes(at(bytes, 4)?) + 40, bytes.get(40..)?)
        }
        _ => return None,
    };
    let ports = || Some((u16::from_be_bytes(at(payload, 0)?), u16::from_be_bytes(at(payload, 2)?)));
    let word = |place| Some(u32::from_be_bytes(at(payload, place)?));
    let (transport, (source, destination), flags, sequence) = match protocol {
        packet::TCP => (Transport::Tcp, ports()?, *payload.get(13)?, word(4)?),
        packet::UDP => (Transport::Udp, ports()?, 0, 0),
        packet::SCTP => (Transport::Sctp, ports()?, 0, word(4)?),
        packet::ICMP if payload.first() == Some(&8) => (Transport::Echo, (0, 0), 0, word(4)?),
        packet::ICMPV6 if payload.first() == Some(&128) => (Transport::Echo, (0, 0), 0, word(4)?),
        _ => return None,
    };
    let tuple =
        Tuple { transport, from: SocketAddr::new(from, source), to: SocketAddr::new(to, destination) };
    Some((tuple, Mark { flags, sequence, length }))
}

fn at<const N: usize>(bytes: &[u8], place: usize) -> Option<[u8; N]> {
    bytes.get(place..place + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_told_apart() {
        for (from, to) in [("10.0.0.1:7", "10.0.0.2:80"), ("[fd00::1]:7", "[fd00::2]:80")] {
            let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
            let (tuple, mark) = parse(&packet::tcp(from, to, packet::SYN, b"")).unwrap();
            assert_eq!((tuple, mark.flags), (Tuple { transport: Transport::Tcp, from, to }, packet::SYN));
            let (tuple, _) = parse(&packet::udp(from, to, b"x")).unwrap();
            assert_eq!(tuple, Tuple { transport: Transport::Udp, from, to });
            let (tuple, _) = parse(&packet::echo(from.ip(), to.ip(), 1, 1)).unwrap();
            assert_eq!(tuple.transport, Transport::Echo);
            assert_eq!(parse(&packet::udp(from, to, b"x")[..20]), None);
        }
    }
}
