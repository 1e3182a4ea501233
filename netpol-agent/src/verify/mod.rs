//! What was declared against what was observed, and the findings that come of it.

mod attempt_context;
mod evidence;
mod findings;
mod judge;
mod outcome;
mod recheck_queue;
mod service;
mod state_history;

pub use findings::{FindingStats, Findings};
pub use judge::{Clock, Judge};
pub use outcome::outcome;
pub use recheck_queue::{RECHECK_AFTER_NS, RecheckQueue};

#[cfg(test)]
mod tests;
