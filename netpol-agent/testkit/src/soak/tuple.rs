//! What names a connection: its transport, and the addresses and ports of both ends.

use std::{fmt, net::SocketAddr};

use crate::netns::packet;

/// A transport protocol that the soak uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Transport {
    Tcp,
    Udp,
    Sctp,
    /// Echo requests of ICMP and ICMPv6. Both ports are 0.
    Echo,
}

impl Transport {
    /// The name in manifests and in the agent's lines.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
            Self::Echo => "ICMP",
        }
    }

    /// The name in rules of nftables and iptables.
    pub(super) const fn lower(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
            Self::Echo => "icmp",
        }
    }

    /// The protocol number in IP headers. For echoes that of ICMP, for both families.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Tcp => packet::TCP,
            Self::Udp => packet::UDP,
            Self::Sctp => packet::SCTP,
            Self::Echo => packet::ICMP,
        }
    }

    /// The transport with this name in the agent's lines.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "TCP" => Some(Self::Tcp),
            "UDP" => Some(Self::Udp),
            "SCTP" => Some(Self::Sctp),
            "ICMP" | "ICMPv6" => Some(Self::Echo),
            _ => None,
        }
    }
}

/// A connection in one direction, from the end that opens it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Tuple {
    pub(super) transport: Transport,
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
}

impl Tuple {
    /// The other direction.
    pub(super) fn reversed(self) -> Self {
        Self { from: self.to, to: self.from, ..self }
    }
}

impl fmt::Display for Tuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} -> {}", self.transport.name(), self.from, self.to)
    }
}
