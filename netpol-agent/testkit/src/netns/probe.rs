//! One try to reach an address, and what the one who tries sees of it.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use super::{Namespace, packet, sctp};

/// What the one who tries sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The far end answered: a TCP or SCTP connection was made, a datagram or an echo request got its reply.
    Answered,
    /// Sent, and no answer is waited for ([`Probe::one_way`]).
    Sent,
    /// A reset, or ICMP port unreachable.
    Refused,
    /// Nothing came back in time.
    TimedOut,
    /// Any other ICMP unreachable, or no way out of the own node.
    Unreachable,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Tcp,
    Udp { one_way: bool },
    Sctp,
    Echo,
}

/// One try to reach an address. `Probe::tcp(ip, 80).run(&pod)?`
#[derive(Clone, Debug)]
pub struct Probe {
    kind: Kind,
    to: SocketAddr,
    from_port: u16,
    timeout: Duration,
}

impl Probe {
    /// A TCP connection: handshake, one request, one reply, closed by this side.
    pub fn tcp(ip: impl Into<IpAddr>, port: u16) -> Self {
        Self::new(Kind::Tcp, ip.into(), port)
    }

    /// A UDP datagram and its reply.
    pub fn udp(ip: impl Into<IpAddr>, port: u16) -> Self {
        Self::new(Kind::Udp { one_way: false }, ip.into(), port)
    }

    /// A UDP datagram that has no reply.
    pub fn one_way(ip: impl Into<IpAddr>, port: u16) -> Self {
        Self::new(Kind::Udp { one_way: true }, ip.into(), port)
    }

    /// An SCTP association, by the kernel where it has SCTP, else by crafted packets; aborted once it is made.
    pub fn sctp(ip: impl Into<IpAddr>, port: u16) -> Self {
        Self::new(Kind::Sctp, ip.into(), port)
    }

    /// An ICMP or ICMPv6 echo request and its reply.
    pub fn echo(ip: impl Into<IpAddr>) -> Self {
        Self::new(Kind::Echo, ip.into(), 0)
    }

    fn new(kind: Kind, ip: IpAddr, port: u16) -> Self {
        Self { kind, to: SocketAddr::new(ip, port), from_port: 0, timeout: Duration::from_millis(400) }
    }

    /// From this port (for an echo: with this identifier) instead of one that the kernel chooses.
    #[must_use]
    pub fn from_port(self, from_port: u16) -> Self {
        Self { from_port, ..self }
    }

    /// How long to wait for an answer; 400 ms by default, which is less than TCP waits before it sends another SYN.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Tries, from inside `from`.
    ///
    /// # Errors
    /// Where no try could be made at all, such as a port in use or a family that `from` has no address of.
    pub fn run(&self, from: impl AsRef<Namespace>) -> Result<Attempt> {
        let result = from.as_ref().run(|| match self.kind {
            Kind::Tcp => self.connect(Protocol::TCP),
            Kind::Udp { one_way } => self.datagram(one_way),
            Kind::Sctp => self.associate(),
            Kind::Echo => self.ping(),
        })?;
        result.or_else(classify).with_context(|| format!("trying {:?} to {}", self.kind, self.to))
    }

    fn associate(&self) -> io::Result<Attempt> {
        if sctp::in_kernel() {
            self.connect(sctp::PROTOCOL)
        } else {
            sctp::connect(self.to, self.from_port, self.timeout).map(|()| Attempt::Answered)
        }
    }

    fn connect(&self, protocol: Protocol) -> io::Result<Attempt> {
        let socket = Socket::new(Domain::for_address(self.to), Type::STREAM, Some(protocol))?;
        socket.set_reuse_address(true)?;
        self.bind(&socket)?;
        if let Err(error) = socket.connect_timeout(&self.to.into(), self.timeout) {
            // An ICMP error that comes while `connect` is still sending is kept for who asks.
            return Err(socket.take_error()?.unwrap_or(error));
        }
        if protocol == Protocol::TCP {
            // The connection was made: what becomes of the request does not change that.
            let _ = exchange(socket.into());
        }
        Ok(Attempt::Answered)
    }

    fn datagram(&self, one_way: bool) -> io::Result<Attempt> {
        let socket = Socket::new(Domain::for_address(self.to), Type::DGRAM, Some(Protocol::UDP))?;
        self.bind(&socket)?;
        socket.connect(&self.to.into())?;
        socket.send(b"ping")?;
        if one_way {
            return Ok(Attempt::Sent);
        }
        socket.set_read_timeout(Some(self.timeout))?;
        (&socket).read(&mut [0; 64]).map(|_| Attempt::Answered)
    }

    fn ping(&self) -> io::Result<Attempt> {
        let protocol = if self.to.is_ipv4() { Protocol::ICMPV4 } else { Protocol::ICMPV6 };
        let socket = Socket::new(Domain::for_address(self.to), Type::DGRAM, Some(protocol))?;
        self.bind(&socket)?;
        socket.connect(&self.to.into())?;
        socket.set_read_timeout(Some(self.timeout))?;
        // The kernel fills in the identifier and the checksum.
        socket.send(&packet::echo_request(self.to.is_ipv6(), 0, 1))?;
        (&socket).read(&mut [0; 64]).map(|_| Attempt::Answered)
    }

    fn bind(&self, socket: &Socket) -> io::Result<()> {
        if self.from_port == 0 {
            return Ok(());
        }
        let any = if self.to.is_ipv4() { IpAddr::from([0; 4]) } else { Ipv6Addr::UNSPECIFIED.into() };
        socket.bind(&SocketAddr::new(any, self.from_port).into())
    }
}

fn exchange(mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(b"ping")?;
    stream.read_exact(&mut [0; 4])
}

/// The answers that come as errors.
fn classify(error: io::Error) -> io::Result<Attempt> {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => return Ok(Attempt::TimedOut),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => return Ok(Attempt::Refused),
        _ => {}
    }
    match error.raw_os_error().map(Errno::from_raw) {
        Some(
            Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::EACCES | Errno::EPERM | Errno::ENOPROTOOPT,
        ) => Ok(Attempt::Unreachable),
        _ => Err(error),
    }
}
