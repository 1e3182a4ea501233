//! What is wrong with the enforcement of policies, and since when.

use std::{net::IpAddr, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;

use super::{Denial, Monotonic, Observed, Pod, PolicyRef, Protocol};

/// The two errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// Denied by the policies, and yet connected.
    NotEnforced,
    /// Allowed by the policies, and yet dropped or rejected.
    OverBlocked,
}

impl FindingKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::NotEnforced, Self::OverBlocked];

    /// Its name in metrics and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotEnforced => "not_enforced",
            Self::OverBlocked => "over_blocked",
        }
    }
}

/// One end of the connections that a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FindingEndpoint {
    /// `pod`, `node`, `service` or `world`.
    pub kind: &'static str,
    /// `namespace/name` of a pod or Service, a node's name, the address of anything else.
    pub name: Arc<str>,
}

/// What makes two wrong connections the same finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FindingKey {
    /// Which error.
    pub kind: FindingKind,
    /// Who opened them.
    pub source: FindingEndpoint,
    /// Who was to answer.
    pub destination: FindingEndpoint,
    /// Whether it is IPv6: enforcers often keep the two families apart.
    pub ipv6: bool,
    /// The protocol.
    pub protocol: Protocol,
    /// The destination's port; 0 for an ICMP echo.
    pub port: u16,
}

/// Whether it still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingStatus {
    /// It does, as far as is known.
    Open,
    /// A later connection of the same kind went as it should.
    Resolved,
    /// Nothing of the kind has been seen for long.
    Expired,
}

impl FindingStatus {
    /// Its name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolved => "resolved",
            Self::Expired => "expired",
        }
    }
}

/// A proven error of enforcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub key: FindingKey,
    /// Whether it still holds.
    pub status: FindingStatus,
    /// The policies it concerns: for `not_enforced` those that deny, for `over_blocked` those that admit. An
    /// over-blocked connection between pods that no policy selects has none.
    pub policies: Vec<PolicyRef>,
    /// For `not_enforced`: which directions deny, and why.
    pub denials: Vec<Denial>,
    /// What was seen, in words.
    pub evidence: String,
    /// What became of the last connection.
    pub observed: Observed,
    /// Addresses and ports of the last connection: source, then destination.
    pub last: [(IpAddr, u16); 2],
    /// The pods at the two ends of the last connection, where there are pods.
    pub pods: [Option<Arc<Pod>>; 2],
    /// When the first such connection was seen.
    pub first_seen: Timestamp,
    /// When the last one was.
    pub last_seen: Timestamp,
    /// When the last one was made by the kernel's clock: the calendar may jump.
    pub last_began: Monotonic,
    /// How many there were.
    pub count: u64,
}
