//! The connection table: from records to connection attempts and their fate.
//!
//! Time is an argument: nanoseconds of `CLOCK_MONOTONIC`, as the records have them.

mod entry;
mod losses;
mod nat;
mod table;
mod timer_queue;

pub use table::{FlowStats, FlowTable, Limits};

#[cfg(test)]
mod tests;
