//! Compares the observed result of each attempt with the result that the policies declare, and keeps the findings.
//!
//! [`Judge`] turns an attempt into a [`Flow`](crate::model::Flow): it resolves both endpoints, evaluates the policies,
//! and compares. A verdict stands only if every cluster state in the grace window gives the same one. [`Findings`]
//! opens a finding for a wrong flow, and resolves or expires it later.

mod attempt_context;
mod evidence;
mod findings;
mod judge;
mod outcome;
mod service;
mod state_history;

pub use findings::{FindingStats, Findings};
pub use judge::{Clock, Judge};
pub use outcome::outcome;

#[cfg(test)]
mod tests;
