//! Probes: connection attempts from a pod to an address, and their results.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use super::{Namespace, packet, sctp};

/// The result of a probe, as its source observes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The destination answered: a TCP or SCTP connection was established, or a datagram or echo request got a reply.
    Answered,
    /// The datagram was sent. No reply is expected ([`Probe::one_way`]).
    Sent,
    /// The destination sent a TCP reset or ICMP port unreachable.
    Refused,
    /// No reply arrived in time.
    TimedOut,
    /// Another ICMP unreachable error was received, or there is no route out of the node.
    Unreachable,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Tcp,
    Udp { one_way: bool },
    Sctp,
    Echo,
}

/// A connection attempt to an address. `Probe::tcp(ip, 80).run(&pod)?`
#[derive(Clone, Debug)]
pub struct Probe {
    kind: Kind,
    to: SocketAddr,
    from_port: u16,
    payload: Vec<u8>,
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

    /// A UDP datagram for which no reply is expected.
    pub fn one_way(ip: impl Into<IpAddr>, port: u16) -> Self {
        Self::new(Kind::Udp { one_way: true }, ip.into(), port)
    }

    /// An SCTP association. It is made by the kernel if it supports SCTP, otherwise by crafted packets. It is aborted
    /// once it is established.
    pub fn sctp(ip: impl Into<IpAddr>, port: u16) -> Self {
        Self::new(Kind::Sctp, ip.into(), port)
    }

    /// An ICMP or ICMPv6 echo request and its reply.
    pub fn echo(ip: impl Into<IpAddr>) -> Self {
        Self::new(Kind::Echo, ip.into(), 0)
    }

    fn new(kind: Kind, ip: IpAddr, port: u16) -> Self {
        let (to, timeout) = (SocketAddr::new(ip, port), Duration::from_millis(400));
        Self { kind, to, from_port: 0, payload: b"ping".to_vec(), timeout }
    }

    /// Sets the source port (for an echo, the identifier). By default the kernel chooses one.
    #[must_use]
    pub fn from_port(self, from_port: u16) -> Self {
        Self { from_port, ..self }
    }

    /// Sets the content of a datagram. The default is `ping`.
    #[must_use]
    pub fn payload(self, payload: &[u8]) -> Self {
        Self { payload: payload.to_vec(), ..self }
    }

    /// Sets the timeout for a reply. The default is 400 ms, which is shorter than the time before TCP retransmits a
    /// SYN.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Runs the probe inside `from`.
    ///
    /// # Errors
    /// The attempt could not be made, for example because the port is in use or `from` has no address of the family.
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
            // If an ICMP error arrives while `connect` is still sending, the kernel keeps it for a later query.
            return Err(socket.take_error()?.unwrap_or(error));
        }
        if protocol == Protocol::TCP {
            // The connection was established. The result of the request does not change that.
            let _ = exchange(socket.into());
        }
        Ok(Attempt::Answered)
    }

    fn datagram(&self, one_way: bool) -> io::Result<Attempt> {
        let socket = Socket::new(Domain::for_address(self.to), Type::DGRAM, Some(Protocol::UDP))?;
        self.bind(&socket)?;
        socket.connect(&self.to.into())?;
        socket.send(&self.payload)?;
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

/// Converts the errors that are replies of the destination or of a router.
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
