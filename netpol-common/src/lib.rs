//! The binary interface between netpol's eBPF programs and its agent.
//!
//! All types are plain values with a fixed layout: `repr(C)`, explicit padding, and a size that is asserted at compile
//! time. There is no logic. Both sides are built from one source tree and shipped in one binary. Each record has an
//! [`ABI_VERSION`], so that the reader can reject records that it does not know.
//!
//! Numbers are in host byte order and addresses in network byte order, unless documented otherwise.
#![no_std]

mod counter;
mod record;

pub use counter::Counter;
pub use record::{
    ABI_VERSION, Direction, DropRecord, FlowTuple, IcmpErrorRecord, PacketRecord, RecordHead, RecordKind, tcp,
};

/// The length, in 64-bit words, of the bitmap of core drop reasons that the drop program records.
///
/// It has room for 256 reasons. Linux 6.18 has about 130 (`enum skb_drop_reason`, include/net/dropreason-core.h).
pub const DROP_REASON_WORDS: usize = 4;
