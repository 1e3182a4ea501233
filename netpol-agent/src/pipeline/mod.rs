//! All stages from the records of the kernel to flows and findings, as one pure function: [`Pipeline::step`] takes an
//! [`Input`] and emits [`Output`](crate::model::Output)s.
//!
//! ```text
//! Input ──► decode ──► flow ──► identity ──► policy ──► verify ──► Output
//! ```
//!
//! Nothing here does I/O, reads a clock or depends on a sink. Time, cluster state, interfaces, counters and the answers
//! of connection tracking are inputs. The same inputs give the same outputs, so a run can be recorded and replayed
//! ([`crate::capture`]).

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
