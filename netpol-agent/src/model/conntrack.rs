//! Queries to the kernel's connection tracking, and its answers.

use serde::{Deserialize, Serialize};

use super::Tuple;

/// A tracked connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConntrackEntry {
    /// From the opener to the address that it used.
    pub original: Tuple,
    /// The tuple of the replies before they are translated back: the source is the endpoint that answers.
    pub reply: Tuple,
}

/// A query to connection tracking: which connection do packets with this tuple belong to, in either direction?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConntrackQuery {
    /// Identifies the query: the answer carries the same id.
    pub id: u64,
    /// The tuple of the packets.
    pub tuple: Tuple,
}
