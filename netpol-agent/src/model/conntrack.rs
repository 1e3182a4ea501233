//! What the kernel's connection tracking is asked, and answers.

use serde::{Deserialize, Serialize};

use super::Tuple;

/// A connection that is tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConntrackEntry {
    /// From the one who opened it to the address that it opened it to.
    pub original: Tuple,
    /// The replies, before they are translated back: their source is who really answers.
    pub reply: Tuple,
}

/// A question to connection tracking: which connection do packets with this tuple belong to, whichever way they go?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConntrackQuery {
    /// Tells the answer to this question from all others.
    pub id: u64,
    /// The packets' tuple.
    pub tuple: Tuple,
}
