//! The summary of a run.

use std::collections::BTreeMap;

use super::{Finding, Outcome};

/// The number of connections by outcome, and the open findings.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The number of connections by outcome.
    pub flows: BTreeMap<Outcome, u64>,
    /// The open findings, in the order in which they are shown.
    pub findings: Vec<Finding>,
    /// The number of lost records, over all causes.
    pub lost: u64,
}
