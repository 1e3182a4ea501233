//! The stages as one pure step: an input goes in, what follows from it comes out.
//!
//! ```text
//! Input ──► decode ──► flow ──► identity ──► policy ──► verify ──► Output
//! ```
//!
//! Nothing here does I/O, reads a clock or knows a sink: time, cluster state, interfaces, counters and the answers of
//! connection tracking are inputs. The same list of inputs gives the same list of outputs, so that a run can be
//! recorded and replayed ([`crate::capture`]).

mod config;
mod input;
mod pending;
mod stages;
#[cfg(test)]
mod tests;
mod totals;

pub use config::PipelineConfig;
pub use input::{Input, InterfaceChange, KernelCounts};
pub use stages::Pipeline;
