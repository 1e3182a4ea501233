//! What was declared against what was observed, and the findings that come of it.

mod case;
mod evidence;
mod findings;
mod held;
mod judge;
mod outcome;
mod service;
mod states;

pub use findings::{FindingStats, Findings};
pub use held::{HOLD_NS, Held};
pub use judge::{Clock, Judge};
pub use outcome::outcome;

#[cfg(test)]
mod tests;
