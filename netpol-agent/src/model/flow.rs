//! A judged connection: who, to whom, what was declared for it, what became of it.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;

use super::{Attempt, Expected, Pod};

/// What is behind an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A pod.
    Pod(Arc<Pod>),
    /// A node, by name.
    Node(Arc<str>),
    /// The Kubernetes API server.
    ApiServer,
    /// A cloud's metadata service, which hands out credentials.
    Metadata,
    /// A Service's address, `namespace/name`: who will really answer is not known.
    Service(Arc<str>),
    /// An address outside the cluster.
    World,
}

impl Endpoint {
    /// Its kind, in metrics and JSON.
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

    /// The pod, if it is one.
    #[must_use]
    pub const fn pod(&self) -> Option<&Arc<Pod>> {
        match self {
            Self::Pod(pod) => Some(pod),
            _ => None,
        }
    }

    /// Its name: `namespace/name` of a pod or Service, a node's name; `None` for all else.
    #[must_use]
    pub fn name(&self) -> Option<&Arc<str>> {
        match self {
            Self::Pod(pod) => Some(&pod.key),
            Self::Node(name) | Self::Service(name) => Some(name),
            Self::ApiServer | Self::Metadata | Self::World => None,
        }
    }
}

/// Where what was declared and what was observed meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Allowed, and it got there.
    Conforming,
    /// Denied, and yet it got there.
    NotEnforced,
    /// Allowed, and yet it was dropped or rejected.
    OverBlocked,
    /// Denied, and dropped or rejected.
    Enforced,
    /// Denied, and nobody answered: perhaps dropped where this node does not see it.
    PresumedEnforced,
    /// Allowed, and nobody answered.
    Unanswered,
    /// What is known does not decide it.
    Undecidable,
    /// No policy speaks of it.
    NotApplicable,
}

impl Outcome {
    /// All of them, the order in which they are shown.
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

    /// Whether it is one of the two errors that findings are about.
    #[must_use]
    pub const fn is_finding(self) -> bool {
        matches!(self, Self::NotEnforced | Self::OverBlocked)
    }

    /// Its name in metrics and JSON.
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
    /// When its first packet was seen.
    pub time: Timestamp,
    /// What was seen.
    pub attempt: Attempt,
    /// The kernel's name for the drop's reason, if there was a drop.
    pub drop_reason: Option<Arc<str>>,
    /// Who opened it.
    pub source: Endpoint,
    /// Who was to answer.
    pub destination: Endpoint,
    /// The Service whose address or node port was used, `namespace/name`.
    pub service: Option<Arc<str>>,
    /// What the policies say.
    pub expected: Expected,
    /// How the two compare.
    pub outcome: Outcome,
}
