//! The flow table: from records of packets, ICMP errors and drops to decided connection attempts.
//!
//! Each attempt has one entry, from its first packet until it is forgotten. An attempt is decided as soon as the
//! evidence is conclusive, otherwise after a timeout. The number of entries is bounded. The caller passes the time in:
//! the module does not read a clock.

mod blocking;
mod entry;
mod forgeries;
mod losses;
mod nat;
mod table;
mod timer_queue;

pub use table::{FlowStats, FlowTable, Limits};

#[cfg(test)]
mod tests;
