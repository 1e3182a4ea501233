//! Packets, ICMP errors and drops, as the kernel reports them.

use std::{
    fmt,
    hash::{Hash, Hasher},
    net::IpAddr,
};

use serde::{Deserialize, Serialize};

use super::{Monotonic, Protocol};

/// An address and a port. For an ICMP echo the port is the identifier.
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

/// The addresses, ports and protocol of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tuple {
    /// The transport protocol.
    pub protocol: Protocol,
    /// The sender.
    pub source: SocketAddress,
    /// The receiver.
    pub destination: SocketAddress,
}

/// Hashes few, large values: tuples are looked up for every record.
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
    /// Returns the tuple of the answer.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self { protocol: self.protocol, source: self.destination, destination: self.source }
    }
}

/// An interface by its index and its network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Inode number of the namespace; 0 if it is not known.
    pub netns: u32,
    /// Index in that namespace.
    pub ifindex: u32,
}

/// The direction in which a packet crossed a pod's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Out of the pod.
    FromPod,
    /// Into the pod.
    ToPod,
}

/// The role of a packet in its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PacketKind {
    /// TCP SYN, SCTP INIT, ICMP echo request. The number distinguishes attempts that use the same tuple (TCP sequence
    /// number, SCTP initiate tag; 0 for an echo).
    Open(u32),
    /// TCP SYN and ACK, SCTP INIT ACK, ICMP echo reply.
    Accept,
    /// TCP RST, SCTP ABORT.
    Reset,
    /// TCP FIN, SCTP SHUTDOWN.
    Close,
    /// A UDP datagram. The first one shows which side opened the conversation.
    Datagram,
}

/// A packet at a pod's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When it happened.
    pub time: Monotonic,
    /// The number of the interface: the index of its end on the node, or one that no index has.
    pub ifindex: u32,
    /// The direction.
    pub direction: Direction,
    /// The tuple.
    pub tuple: Tuple,
    /// The role of the packet.
    pub signal: PacketKind,
    /// TCP sequence number; 0 for other protocols.
    pub sequence: u32,
    /// TCP acknowledgment number, or verification tag of SCTP.
    pub acknowledgment: u32,
    /// The number of packets that this record stands for.
    pub packets: u32,
    /// The number of bytes in these packets.
    pub bytes: u32,
}

/// An ICMP error at a pod's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// When it happened.
    pub time: Monotonic,
    /// The number of the interface.
    pub ifindex: u32,
    /// The direction.
    pub direction: Direction,
    /// The sender of the error.
    pub reporter: IpAddr,
    /// The tuple of the packet that the error quotes.
    pub quoted: Tuple,
    /// The sequence number of the quoted packet; `None` where there is none.
    pub number: Option<u32>,
    /// The kind of error.
    pub kind: IcmpKind,
}

/// The kinds of ICMP error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IcmpKind {
    /// Port unreachable: no process listens (RFC 792 type 3 code 3; RFC 4443 type 1 code 4). Packet filters send it
    /// too.
    PortUnreachable,
    /// Administratively prohibited (RFC 1812 type 3 codes 9, 10 and 13; RFC 4443 type 1 codes 1, 5 and 6).
    Prohibited,
    /// Any other: no route, time exceeded, packet too big. It is not caused by a policy.
    Other,
}

/// A packet that the kernel dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelDrop {
    /// When it happened.
    pub time: Monotonic,
    /// Inode of the network namespace in which the packet was dropped; `None` if unknown.
    pub netns: Option<u32>,
    /// The tuple.
    pub tuple: Tuple,
    /// The role of the packet; `None` for data.
    pub signal: Option<PacketKind>,
    /// The kernel's number for the drop reason.
    pub reason: u32,
    /// The number of drops that this record stands for.
    pub count: u32,
}

/// One record of the ring buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// A packet at a pod's interface.
    Packet(Packet),
    /// An opening packet that leaves the node. The number of its interface is the index.
    Exit(Packet),
    /// An ICMP error at a pod's interface.
    IcmpError(IcmpError),
    /// A packet that the kernel dropped.
    Drop(KernelDrop),
}
