//! What was declared against what was observed, and the findings that come of it.

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
