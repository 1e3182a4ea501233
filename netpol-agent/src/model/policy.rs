//! Names of policies and of the rules in them.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::ObjectKind;

/// The kinds of declared policy, with the names of their API kinds.
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
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::NetworkPolicy,
        Self::ClusterNetworkPolicy,
        Self::AdminNetworkPolicy,
        Self::BaselineAdminNetworkPolicy,
    ];

    /// The same as a kind of object.
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

/// Which of a connection's two sides a policy speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyDirection {
    /// What may reach the pod.
    Ingress,
    /// What the pod may reach.
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

/// One policy object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PolicyRef {
    /// Its kind.
    pub kind: PolicyKind,
    /// Its namespace; `None` for the cluster-wide kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Arc<str>>,
    /// Its name.
    pub name: Arc<str>,
}

/// `namespace/name`, or `name` alone for a cluster-wide policy.
impl fmt::Display for PolicyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// One rule of a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RuleRef {
    /// The policy.
    pub policy: PolicyRef,
    /// In which list the rule is.
    pub direction: PolicyDirection,
    /// Its index in that list, from 0.
    pub index: u32,
}
