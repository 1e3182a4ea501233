//! A connection attempt and what became of it.

use std::fmt;

use super::{DropHook, Monotonic, Protocol, SocketAddress, Tuple};

/// What became of a connection attempt, as far as this node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Observed {
    /// The far end's answer reached the near end: SYN-ACK, INIT-ACK, UDP reply, echo reply.
    Established,
    /// The destination pod itself refused, so the packet got there: RST or port unreachable out of its own veth.
    Refused,
    /// It went into the destination pod's veth, was not dropped by the host, and was not answered.
    Delivered,
    /// Somebody on the way refused: RST or an ICMP error that did not come out of the destination pod, which is on this
    /// node; or an ICMP error that is this node's own.
    Rejected,
    /// A reset or ICMP error came whose origin this node does not see: the destination is on another node.
    Reset,
    /// The kernel dropped that very packet, for a reason that an enforcer causes.
    Dropped {
        /// The kernel's number for the reason.
        reason: u32,
        /// Where.
        hook: DropHook,
        /// Whether it was the answer that was dropped.
        reply: bool,
    },
    /// No answer, and no drop by an enforcer seen here.
    Unanswered,
}

impl Observed {
    /// Its name in metrics and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Established => "established",
            Self::Refused => "refused",
            Self::Delivered => "delivered",
            Self::Rejected => "rejected",
            Self::Reset => "reset",
            Self::Dropped { .. } => "dropped",
            Self::Unanswered => "unanswered",
        }
    }

    /// Whether the packet reached the destination pod.
    #[must_use]
    pub const fn reached_destination(self) -> bool {
        matches!(self, Self::Established | Self::Refused | Self::Delivered)
    }

    /// Whether somebody on the way kept it from getting there.
    #[must_use]
    pub const fn was_stopped(self) -> bool {
        matches!(self, Self::Dropped { .. } | Self::Rejected)
    }
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A connection attempt whose fate is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// From the one who opened it to the one who was to answer; after translation, where that is known.
    pub tuple: Tuple,
    /// Whom the opener addressed, where that is known not to be who was to answer: a Service's address and port, which
    /// were translated on the way.
    pub service_address: Option<SocketAddress>,
    /// When its first packet was seen.
    pub began: Monotonic,
    /// When its fate was decided.
    pub decided: Monotonic,
    /// What became of it.
    pub observed: Observed,
    /// How often the opening packet was sent again.
    pub retransmissions: u16,
    /// Dropped packets of it, whatever the reason.
    pub drops: u32,
    /// Reason of a drop that no enforcer causes, if there was one: a full queue, a bad checksum.
    pub other_drop: Option<u32>,
    /// Veth through which the opening packet left the pod that has its source address.
    pub source_interface: Option<u32>,
    /// Veth through which it entered the pod that has its destination address, or the answer left that pod.
    pub destination_interface: Option<u32>,
    /// Veth out of which the opening packet came though the interface behind it has another address.
    pub spoof_candidate: Option<u32>,
    /// Whether it was open before the agent looked: who opened it is a guess.
    pub pre_existing: bool,
    /// Whether records were lost that may have told otherwise.
    pub records_lost: bool,
    /// Whether it had been decided before, on weaker evidence.
    pub revised: bool,
    /// Whether it is one that had got there before, and is still going on: `began` is when it was looked at again.
    pub is_recheck: bool,
}

impl Attempt {
    /// Whether the evidence is the presence of something. All else rests on something not having been seen as well, and
    /// a lost record undoes it: that a dropped packet did not get through when it was sent again; that nobody at the
    /// destination sent a reset; of a datagram, that it was not an answer.
    #[must_use]
    pub const fn is_positive(&self) -> bool {
        matches!(self.observed, Observed::Established | Observed::Refused)
            && !matches!(self.tuple.protocol, Protocol::Udp)
    }

    /// Whether somebody answered at the destination.
    #[must_use]
    pub const fn is_answered(&self) -> bool {
        matches!(self.observed, Observed::Established)
    }
}
