//! A minimal SCTP that can only set up an association, for kernels without SCTP.

use std::{
    io::{self, Read as _},
    net::SocketAddr,
    os::fd::AsRawFd as _,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use nix::sys::socket::{MsgFlags, SockaddrStorage, recvfrom, sendto};
use socket2::{Domain, Protocol, Socket, Type};

use super::packet;

/// SCTP's IP protocol number.
pub(super) const PROTOCOL: Protocol = Protocol::SCTP;

const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const ABORT: u8 = 6;
const COOKIE_ECHO: u8 = 10;
const COOKIE_ACK: u8 = 11;

/// The verification tag of both sides. There is only one association at a time, so the tags need not differ.
const TAG: u32 = 0x6e65_7470;

/// Returns true if this kernel supports SCTP. The check loads the kernel module if there is one.
pub(super) fn in_kernel() -> bool {
    Socket::new(Domain::IPV4, Type::STREAM, Some(PROTOCOL)).is_ok()
}

/// A socket that receives every SCTP packet of its namespace.
pub(super) fn socket(domain: Domain) -> io::Result<Socket> {
    Socket::new(domain, Type::RAW, Some(PROTOCOL))
}

/// Sets up an association, and aborts it.
pub(super) fn connect(to: SocketAddr, from_port: u16, timeout: Duration) -> io::Result<()> {
    let socket = socket(Domain::for_address(to))?;
    socket.connect(&SocketAddr::new(to.ip(), 0).into())?;
    socket.set_read_timeout(Some(timeout))?;
    let mut peer = Peer { socket, address: to, from_port };
    peer.send(0, &init(INIT, &[]))?;
    let init_ack = peer.receive(INIT_ACK)?;
    peer.send(TAG, &chunk(COOKIE_ECHO, init_ack.cookie()))?;
    peer.receive(COOKIE_ACK)?;
    peer.send(TAG, &chunk(ABORT, &[]))
}

/// Accepts associations on `port`, and aborts associations on other ports.
pub(super) fn serve(socket: &Socket, port: u16, served: &AtomicUsize) -> io::Result<()> {
    let ipv4 = socket.domain()? == Domain::IPV4;
    let mut buffer = [0; 2048];
    while let (length, Some(from)) = recvfrom::<SockaddrStorage>(socket.as_raw_fd(), &mut buffer)? {
        let Some(packet) = Packet::parse(&buffer[..length], ipv4) else { continue };
        let answer = match packet.kind() {
            INIT if packet.to_port != port => chunk(ABORT, &[]),
            // The cookie contains the state that the server would have to keep: the tag for its replies.
            INIT => init(INIT_ACK, &packet.peer_tag().to_be_bytes()),
            COOKIE_ECHO if packet.to_port == port => {
                served.fetch_add(1, Ordering::Relaxed);
                chunk(COOKIE_ACK, &[])
            }
            _ => continue,
        };
        let answer = packet::sctp_segment(packet.to_port, packet.from_port, packet.peer_tag(), &answer);
        // This fails if the client is gone.
        let _ = sendto(socket.as_raw_fd(), &answer, &from, MsgFlags::empty());
    }
    Ok(())
}

struct Peer {
    socket: Socket,
    address: SocketAddr,
    from_port: u16,
}

impl Peer {
    fn send(&self, tag: u32, chunk: &[u8]) -> io::Result<()> {
        let segment = packet::sctp_segment(self.from_port, self.address.port(), tag, chunk);
        self.socket.send(&segment).map(drop)
    }

    /// Waits for a chunk of this kind.
    fn receive(&mut self, kind: u8) -> io::Result<Packet> {
        let mut buffer = [0; 2048];
        loop {
            let length = self.socket.read(&mut buffer)?;
            let Some(packet) = Packet::parse(&buffer[..length], self.address.is_ipv4()) else { continue };
            if packet.from_port != self.address.port() || packet.to_port != self.from_port {
                continue;
            }
            match packet.kind() {
                found if found == kind => return Ok(packet),
                ABORT => return Err(io::ErrorKind::ConnectionRefused.into()),
                _ => {}
            }
        }
    }
}

/// A received packet with its first chunk.
struct Packet {
    from_port: u16,
    to_port: u16,
    chunk: Vec<u8>,
}

impl Packet {
    /// Parses a packet. Raw IPv4 sockets also return the IP header.
    fn parse(bytes: &[u8], ipv4: bool) -> Option<Self> {
        let header = if ipv4 { usize::from(bytes.first()? & 0xf) * 4 } else { 0 };
        let segment = bytes.get(header..)?;
        let port = |at: usize| Some(u16::from_be_bytes(segment.get(at..at + 2)?.try_into().ok()?));
        let chunk = segment.get(12..).filter(|chunk| chunk.len() >= 4)?;
        Some(Self { from_port: port(0)?, to_port: port(2)?, chunk: chunk.to_vec() })
    }

    fn kind(&self) -> u8 {
        self.chunk[0]
    }

    /// The tag that the sender expects. An INIT and a COOKIE ECHO both have it in their first word.
    fn peer_tag(&self) -> u32 {
        let word = self.chunk.get(4..8).and_then(|bytes| bytes.try_into().ok());
        u32::from_be_bytes(word.unwrap_or_default())
    }

    /// The state cookie of an INIT ACK. It follows the fixed part and the parameter's header.
    fn cookie(&self) -> &[u8] {
        self.chunk.get(24..28).unwrap_or_default()
    }
}

/// Creates an INIT or INIT ACK: tag, window, the streams in each direction, the first sequence number, and an optional
/// cookie.
fn init(kind: u8, cookie: &[u8]) -> Vec<u8> {
    const STATE_COOKIE: u16 = 7;
    let mut body = TAG.to_be_bytes().to_vec();
    body.extend(65_536_u32.to_be_bytes());
    body.extend([0, 1, 0, 1]);
    body.extend(1_u32.to_be_bytes());
    if !cookie.is_empty() {
        body.extend(STATE_COOKIE.to_be_bytes());
        body.extend((4 + cookie.len() as u16).to_be_bytes());
        body.extend(cookie);
    }
    chunk(kind, &body)
}

fn chunk(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut chunk = vec![kind, 0];
    chunk.extend((4 + body.len() as u16).to_be_bytes());
    chunk.extend(body);
    chunk
}
