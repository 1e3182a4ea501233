//! What the kernel reports, as values.

use std::{
    fmt,
    hash::{Hash, Hasher},
    net::IpAddr,
};

use serde::{Deserialize, Serialize};

use super::{Monotonic, Protocol};

/// An address and a port; for an ICMP echo the port is the identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SocketAddress {
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
}

impl fmt::Display for SocketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        std::net::SocketAddr::new(self.address, self.port).fmt(f)
    }
}

/// Who to whom, as one packet has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tuple {
    /// Transport protocol.
    pub protocol: Protocol,
    /// Sender.
    pub source: SocketAddress,
    /// Receiver.
    pub destination: SocketAddress,
}

/// In few and large pieces: tuples are looked up for each record.
impl Hash for Tuple {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for peer in [self.source, self.destination] {
            match peer.address {
                IpAddr::V4(address) => state.write_u32(address.to_bits()),
                IpAddr::V6(address) => state.write_u128(address.to_bits()),
            }
        }
        let [source, destination] = [self.source, self.destination].map(|peer| u64::from(peer.port));
        state.write_u64(source << 32 | destination << 16 | u64::from(self.protocol.number()));
    }
}

impl Tuple {
    /// The tuple of an answer.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self { protocol: self.protocol, source: self.destination, destination: self.source }
    }
}

/// Which way a packet crossed a veth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Out of the pod.
    FromPod,
    /// Into the pod.
    ToPod,
}

/// What a packet means to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketKind {
    /// TCP SYN, SCTP INIT, ICMP echo request. The number tells one attempt from the next that uses the same tuple
    /// (TCP sequence number, SCTP initiate tag; 0 for an echo).
    Open(u32),
    /// TCP SYN and ACK, SCTP INIT ACK, ICMP echo reply.
    Accept,
    /// TCP RST, SCTP ABORT.
    Reset,
    /// TCP FIN, SCTP SHUTDOWN.
    Close,
    /// A UDP datagram: which side opened is told by who was first.
    Datagram,
}

/// A packet at a veth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When.
    pub time: Monotonic,
    /// Host end of the veth.
    pub ifindex: u32,
    /// Which way.
    pub direction: Direction,
    /// Who to whom.
    pub tuple: Tuple,
    /// What it means.
    pub signal: PacketKind,
    /// Packets that this one stands for.
    pub packets: u32,
    /// Their bytes.
    pub bytes: u32,
}

/// An ICMP error at a veth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// When.
    pub time: Monotonic,
    /// Host end of the veth.
    pub ifindex: u32,
    /// Which way.
    pub direction: Direction,
    /// Who complains.
    pub reporter: IpAddr,
    /// Of what.
    pub quoted: Tuple,
    /// What the complaint is.
    pub kind: IcmpKind,
}

/// What an ICMP error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IcmpKind {
    /// Nobody listens: port unreachable (RFC 792 type 3 code 3; RFC 4443 type 1 code 4). Packet filters send it too.
    PortUnreachable,
    /// Administratively prohibited (RFC 1812 type 3 codes 9, 10 and 13; RFC 4443 type 1 codes 1, 5 and 6).
    Prohibited,
    /// Anything else: no route, time exceeded, too big. It says nothing of policy.
    Other,
}

/// A packet that the kernel dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelDrop {
    /// When.
    pub time: Monotonic,
    /// Inode of the network namespace in which it happened; `None` if unknown.
    pub netns: Option<u32>,
    /// Who to whom.
    pub tuple: Tuple,
    /// What the packet meant; `None` for data.
    pub signal: Option<PacketKind>,
    /// The kernel's number for the reason.
    pub reason: u32,
    /// Drops that this one stands for.
    pub count: u32,
}

/// One record of the ring buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// A packet at a veth.
    Packet(Packet),
    /// An ICMP error at a veth.
    IcmpError(IcmpError),
    /// A packet that the kernel dropped.
    Drop(KernelDrop),
}
