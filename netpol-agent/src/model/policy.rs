//! References to policies and to their rules.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::ObjectKind;

/// The kinds of policy. The variants have the names of the API kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PolicyKind {
    /// `networking.k8s.io`, namespaced.
    NetworkPolicy,
    /// `policy.networking.k8s.io`, cluster-wide.
    ClusterNetworkPolicy,
    /// `policy.networking.k8s.io`, cluster-wide.
    AdminNetworkPolicy,
    /// `policy.networking.k8s.io`, cluster-wide, at most one.
    BaselineAdminNetworkPolicy,
}

impl PolicyKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [
        Self::NetworkPolicy,
        Self::ClusterNetworkPolicy,
        Self::AdminNetworkPolicy,
        Self::BaselineAdminNetworkPolicy,
    ];

    /// Returns the kind of object.
    #[must_use]
    pub const fn object_kind(self) -> ObjectKind {
        match self {
            Self::NetworkPolicy => ObjectKind::NetworkPolicy,
            Self::ClusterNetworkPolicy => ObjectKind::ClusterNetworkPolicy,
            Self::AdminNetworkPolicy => ObjectKind::AdminNetworkPolicy,
            Self::BaselineAdminNetworkPolicy => ObjectKind::BaselineAdminNetworkPolicy,
        }
    }
}

/// The direction of a policy's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyDirection {
    /// Connections to the pod.
    Ingress,
    /// Connections from the pod.
    Egress,
}

impl fmt::Display for PolicyDirection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

/// A reference to a policy object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PolicyRef {
    /// The kind.
    pub kind: PolicyKind,
    /// The namespace; `None` for the cluster-wide kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Arc<str>>,
    /// The name.
    pub name: Arc<str>,
}

/// Writes `namespace/name`, or only `name` for a cluster-wide policy.
impl fmt::Display for PolicyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// A reference to a rule of a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RuleRef {
    /// The policy.
    pub policy: PolicyRef,
    /// The list that contains the rule.
    pub direction: PolicyDirection,
    /// The index in that list, from 0.
    pub index: u32,
}
