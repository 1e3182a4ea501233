//! The outputs of the pipeline.

use jiff::Timestamp;

use super::{ConntrackQuery, Finding, Flow, Status, Summary};

/// One output of the pipeline.
#[derive(Clone, Debug)]
pub enum Output {
    /// A judged connection.
    Flow(Flow),
    /// A finding was opened, resolved or expired.
    Finding {
        /// The finding.
        finding: Finding,
        /// When the deciding connection began, or when the finding expired.
        time: Timestamp,
    },
    /// A query to connection tracking. The answer comes back as an input, before any other input.
    Conntrack(ConntrackQuery),
    /// A request to read the addresses behind this interface (by index) again: a packet with an unknown source address
    /// came out of it.
    RefreshInterface(u32),
    /// The agent's status.
    Status(Box<Status>),
    /// The summary at the end of the run.
    Summary(Summary),
}
