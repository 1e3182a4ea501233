//! The connection table: from records to connection attempts and their fate.
//!
//! Time is an argument: moments of the clock that the records have.

mod entry;
mod losses;
mod nat;
mod table;
mod timer_queue;

pub use table::{FlowStats, FlowTable, Limits};

#[cfg(test)]
mod tests;
