//! A connection attempt and its result.

use std::fmt;

use super::{DropHook, Monotonic, Protocol, SocketAddress, Tuple};

/// The result of a connection attempt, as far as this node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Observed {
    /// The destination's answer reached the source: SYN-ACK, INIT-ACK, UDP reply, echo reply.
    Established,
    /// The destination itself refused: RST or port unreachable came out of the pod's own interface. So the packet reached
    /// the pod. Or the destination is outside the cluster, and the refusal came after the packet had left the node.
    Refused,
    /// The packet went into the destination pod's interface. The host did not drop it, and no answer came.
    Delivered,
    /// The connection was refused on the way. Either an RST or ICMP error did not come out of the destination pod,
    /// which is on this node; or this node itself sent an ICMP error.
    Rejected,
    /// An RST or ICMP error came, and this node does not see who sent it: the destination is on another node.
    Reset,
    /// The kernel dropped the packet, for a reason that an enforcer causes.
    Dropped {
        /// The kernel's number for the reason.
        reason: u32,
        /// The hook at which the enforcer acted.
        hook: DropHook,
        /// Whether the dropped packet was the answer.
        reply: bool,
    },
    /// An answer reached the source, and the destination pod, which is on this node, did not send it: something on the node
    /// answers in its name.
    Proxied,
    /// The packet left this node, and no answer came.
    LeftNode,
    /// No answer came, and this node saw no drop by an enforcer.
    Unanswered,
}

impl Observed {
    /// Returns the name in metrics and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Established => "established",
            Self::Refused => "refused",
            Self::Delivered => "delivered",
            Self::Rejected => "rejected",
            Self::Reset => "reset",
            Self::Dropped { .. } => "dropped",
            Self::Proxied => "proxied",
            Self::LeftNode => "left_node",
            Self::Unanswered => "unanswered",
        }
    }

    /// Returns whether the packet reached the destination pod.
    #[must_use]
    pub const fn reached_destination(self) -> bool {
        matches!(self, Self::Established | Self::Refused | Self::Delivered)
    }

    /// Returns whether the connection was dropped or rejected before it reached the destination pod.
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

/// A connection attempt whose result is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// From the opener to the destination. If address translation was seen, this is the tuple after translation.
    pub tuple: Tuple,
    /// The Service's address and port that the opener used, if they are known to have been translated on the way.
    pub service_address: Option<SocketAddress>,
    /// When the first packet was seen.
    pub began: Monotonic,
    /// When the result was decided.
    pub decided: Monotonic,
    /// The result.
    pub observed: Observed,
    /// How many times the opening packet was retransmitted.
    pub retransmissions: u16,
    /// The number of dropped packets, for any reason.
    pub drops: u32,
    /// The kernel's number for the reason of a drop that no enforcer causes, such as a full queue or a bad checksum.
    pub other_drop: Option<u32>,
    /// Index of the interface through which the opening packet left the pod that has its source address.
    pub source_interface: Option<u32>,
    /// Index of the interface of the pod that has the destination address: the opening packet entered there, or the
    /// answer left there.
    pub destination_interface: Option<u32>,
    /// Whether an opening packet was seen inside the destination pod, or the pod's answer shows that one arrived. What
    /// happened to other packets does not change that.
    pub arrived: bool,
    /// Whether an opening packet of a pod of this node was seen to leave the node.
    pub left_node: bool,
    /// Whether the source is a pod of this node, and was not seen to send what arrived: somebody else did.
    pub source_unseen: bool,
    /// Index of the interface out of which the opening packet came, if the pod behind it has other addresses.
    pub spoof_candidate: Option<u32>,
    /// Whether the connection was open before the agent observed it. Then the opener is a guess.
    pub pre_existing: bool,
    /// Whether records were lost that could change the result.
    pub records_lost: bool,
    /// Whether the attempt was decided before, on weaker evidence.
    pub revised: bool,
    /// Whether this is a re-evaluation of a connection that was let through before and is still active. Then `began` is
    /// the time at which the re-evaluation began.
    pub is_recheck: bool,
}

impl Attempt {
    /// Returns whether the result rests on a packet that was seen. All other results also rest on something that was
    /// not seen, and a lost record can invalidate them:
    ///
    /// - that the retransmission of a dropped packet did not get through;
    /// - that the destination did not send a reset;
    /// - that a datagram was not an answer.
    #[must_use]
    pub const fn is_positive(&self) -> bool {
        matches!(self.observed, Observed::Established | Observed::Refused)
            && !matches!(self.tuple.protocol, Protocol::Udp)
    }

    /// Returns whether a packet of the attempt reached the destination pod.
    #[must_use]
    pub const fn reached_destination(&self) -> bool {
        self.arrived || self.observed.reached_destination()
    }

    /// Returns whether a packet of the attempt was seen in the destination pod, or leaving the node.
    #[must_use]
    pub const fn reached_outside(&self) -> bool {
        self.arrived || self.left_node
    }

    /// Returns whether somebody who has the destination's address answered.
    #[must_use]
    pub const fn is_answered(&self) -> bool {
        matches!(self.observed, Observed::Established | Observed::Proxied)
    }
}
