//! What a run has seen, at its end.

use std::collections::BTreeMap;

use super::{Finding, Outcome};

/// Connections by outcome, and the findings that are open.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Connections by outcome.
    pub flows: BTreeMap<Outcome, u64>,
    /// Open findings, in the order in which they are shown.
    pub findings: Vec<Finding>,
    /// Records lost on the way, over all causes.
    pub lost: u64,
}
