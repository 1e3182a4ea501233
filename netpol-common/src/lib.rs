//! The binary interface between netpol's eBPF programs and its agent.
//!
//! Everything here is a plain value with a fixed layout: `repr(C)`, explicit padding, a size that is asserted at
//! compile time. There is no logic. Both sides are built from one source tree and travel in one binary, and
//! [`ABI_VERSION`] in each record lets the reader refuse bytes that it does not understand.
//!
//! Unless said otherwise numbers are in host byte order and addresses in network byte order.
#![no_std]

mod counter;
mod record;

pub use counter::Counter;
pub use record::{
    ABI_VERSION, Direction, DropRecord, FlowTuple, IcmpErrorRecord, PacketRecord, RecordHead, RecordKind, tcp,
};

/// Length of the bitmap that tells the drop program which core drop reasons to record, in 64-bit words.
///
/// 256 reasons; Linux 6.18 has about 130 (`enum skb_drop_reason`, include/net/dropreason-core.h).
pub const DROP_REASON_WORDS: usize = 4;
