//! The connection table: from records to connection attempts and their fate.
//!
//! Time is an argument: nanoseconds of `CLOCK_MONOTONIC`, as the records have them.

mod deadlines;
mod entry;
mod losses;
mod table;
mod translation;

pub use table::{FlowStats, FlowTable, Limits};

#[cfg(test)]
mod tests;
