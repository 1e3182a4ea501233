//! A judged connection: source, destination, expected result, observed result.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;

use super::{Attempt, Expected, Pod};

/// What an address belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A pod.
    Pod(Arc<Pod>),
    /// A node, by name.
    Node(Arc<str>),
    /// The Kubernetes API server.
    ApiServer,
    /// A cloud's metadata service, which returns credentials.
    Metadata,
    /// A Service's address, `namespace/name`. The endpoint behind it is not known.
    Service(Arc<str>),
    /// An address outside the cluster.
    World,
}

impl Endpoint {
    /// Returns the kind, in metrics and JSON.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Pod(_) => "pod",
            Self::Node(_) => "node",
            Self::ApiServer => "kube-apiserver",
            Self::Metadata => "metadata",
            Self::Service(_) => "service",
            Self::World => "world",
        }
    }

    /// Returns the pod, if the endpoint is one.
    #[must_use]
    pub const fn pod(&self) -> Option<&Arc<Pod>> {
        match self {
            Self::Pod(pod) => Some(pod),
            _ => None,
        }
    }

    /// Returns the name: `namespace/name` of a pod or Service, the name of a node, otherwise `None`.
    #[must_use]
    pub fn name(&self) -> Option<&Arc<str>> {
        match self {
            Self::Pod(pod) => Some(&pod.key),
            Self::Node(name) | Self::Service(name) => Some(name),
            Self::ApiServer | Self::Metadata | Self::World => None,
        }
    }
}

/// The comparison of the expected result with the observed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Allowed, and it reached the destination.
    Conforming,
    /// Denied, but it reached the destination.
    NotEnforced,
    /// Allowed, but it was dropped or rejected.
    OverBlocked,
    /// Denied, and it was dropped or rejected.
    Enforced,
    /// Denied, and no answer came. It may have been dropped where this node does not see it.
    PresumedEnforced,
    /// Allowed, and no answer came.
    Unanswered,
    /// The agent does not know enough to decide.
    Undecidable,
    /// Policies do not apply to it.
    NotApplicable,
}

impl Outcome {
    /// All outcomes, in the order in which they are shown.
    pub const ALL: [Self; 8] = [
        Self::Conforming,
        Self::Enforced,
        Self::PresumedEnforced,
        Self::NotEnforced,
        Self::OverBlocked,
        Self::Unanswered,
        Self::Undecidable,
        Self::NotApplicable,
    ];

    /// Returns whether the outcome is one of the two errors that cause findings.
    #[must_use]
    pub const fn is_finding(self) -> bool {
        matches!(self, Self::NotEnforced | Self::OverBlocked)
    }

    /// Returns the name in metrics and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conforming => "conforming",
            Self::NotEnforced => "not_enforced",
            Self::OverBlocked => "over_blocked",
            Self::Enforced => "enforced",
            Self::PresumedEnforced => "presumed_enforced",
            Self::Unanswered => "unanswered",
            Self::Undecidable => "undecidable",
            Self::NotApplicable => "not_applicable",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A judged connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// When the first packet was seen.
    pub time: Timestamp,
    /// The observed attempt.
    pub attempt: Attempt,
    /// The kernel's name for the drop reason, if there was a drop.
    pub drop_reason: Option<Arc<str>>,
    /// The endpoint that opened the connection.
    pub source: Endpoint,
    /// The endpoint that the connection was opened to.
    pub destination: Endpoint,
    /// The Service whose address or node port was used, `namespace/name`.
    pub service: Option<Arc<str>>,
    /// The expected result, by the policies.
    pub expected: Expected,
    /// The comparison of the two.
    pub outcome: Outcome,
}
