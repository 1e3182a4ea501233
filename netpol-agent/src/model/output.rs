//! What the pipeline hands out.

use jiff::Timestamp;

use super::{ConntrackQuery, Finding, Flow, Status, Summary};

/// One thing that follows from the inputs so far.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "flows are by far the most, and they pass through by value")]
pub enum Output {
    /// A judged connection.
    Flow(Flow),
    /// A finding has opened or closed.
    Finding {
        /// The finding.
        finding: Finding,
        /// When the connection began that decided it, or when it expired.
        time: Timestamp,
    },
    /// Connection tracking is to be asked; the answer comes back as an input, before any other.
    Conntrack(ConntrackQuery),
    /// The addresses behind this interface (by index) are to be read again: a packet came out of it with an address that
    /// it is not known to have.
    RefreshInterface(u32),
    /// How the agent is doing.
    Status(Box<Status>),
    /// The end of the run.
    Summary(Summary),
}
