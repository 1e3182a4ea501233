//! Findings: proven errors in the enforcement of policies.

use std::{net::IpAddr, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;

use super::{Denial, Monotonic, Observed, Pod, PolicyRef, Protocol};

/// The two kinds of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// The policies deny the connection, but it reached the destination.
    NotEnforced,
    /// The policies allow the connection, but it was dropped or rejected.
    OverBlocked,
}

impl FindingKind {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::NotEnforced, Self::OverBlocked];

    /// Returns the name in metrics and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotEnforced => "not_enforced",
            Self::OverBlocked => "over_blocked",
        }
    }
}

/// The source or destination of the connections that a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FindingEndpoint {
    /// `pod`, `node`, `service` or `world`.
    pub kind: &'static str,
    /// `namespace/name` of a pod or Service, the name of a node, otherwise the address.
    pub name: Arc<str>,
}

/// Identifies a finding: wrong connections with the same key are the same finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FindingKey {
    /// The kind of error.
    pub kind: FindingKind,
    /// The source of the connections.
    pub source: FindingEndpoint,
    /// The destination of the connections.
    pub destination: FindingEndpoint,
    /// Whether the addresses are IPv6. Enforcers often configure the two families separately.
    pub ipv6: bool,
    /// The protocol.
    pub protocol: Protocol,
    /// The destination port; 0 for an ICMP echo.
    pub port: u16,
}

/// The status of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingStatus {
    /// As far as is known, the error still exists.
    Open,
    /// A later connection of the same kind had the expected result.
    Resolved,
    /// No such connection has been seen for a long time.
    Expired,
}

impl FindingStatus {
    /// Returns the name in JSON.
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
    /// Identifies the finding.
    pub key: FindingKey,
    /// The status.
    pub status: FindingStatus,
    /// The policies that it concerns: for `not_enforced` those that deny, for `over_blocked` those that allow. Empty
    /// for an over-blocked connection between pods that no policy selects.
    pub policies: Vec<PolicyRef>,
    /// For `not_enforced`: the directions that deny, and why.
    pub denials: Vec<Denial>,
    /// What was seen, as a sentence.
    pub evidence: String,
    /// The result of the last connection.
    pub observed: Observed,
    /// Addresses and ports of the last connection: source, then destination.
    pub last: [(IpAddr, u16); 2],
    /// The source pod and the destination pod of the last connection; `None` for an endpoint that is not a pod.
    pub pods: [Option<Arc<Pod>>; 2],
    /// When the first such connection was seen.
    pub first_seen: Timestamp,
    /// When the last such connection was seen.
    pub last_seen: Timestamp,
    /// When the last such connection began, by the monotonic clock. The wall clock may jump.
    pub last_began: Monotonic,
    /// The number of such connections.
    pub count: u64,
}
