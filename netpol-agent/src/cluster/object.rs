//! Any object that the index takes.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::model::{
    ClusterPolicy, EndpointSlice, Namespace, NetworkPolicy, Node, ObjectKind, Pod, PolicyKind, PolicyRef,
    Service,
};

/// An object of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Object {
    /// A pod.
    Pod(Arc<Pod>),
    /// A namespace.
    Namespace(Arc<Namespace>),
    /// A node.
    Node(Arc<Node>),
    /// A Service.
    Service(Arc<Service>),
    /// Some of a Service's endpoints.
    EndpointSlice(Arc<EndpointSlice>),
    /// A NetworkPolicy.
    NetworkPolicy(Arc<NetworkPolicy>),
    /// A cluster-wide policy.
    ClusterPolicy(Arc<ClusterPolicy>),
}

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ObjectRef {
    /// A pod, by `namespace/name`.
    Pod(Arc<str>),
    /// A namespace, by name.
    Namespace(Arc<str>),
    /// A node, by name.
    Node(Arc<str>),
    /// A Service, by `namespace/name`.
    Service(Arc<str>),
    /// An EndpointSlice, by `namespace/name`.
    EndpointSlice(Arc<str>),
    /// A policy of any kind.
    Policy(PolicyRef),
}

impl Object {
    /// Which object it is.
    #[must_use]
    pub fn reference(&self) -> ObjectRef {
        match self {
            Self::Pod(pod) => ObjectRef::Pod(pod.key.clone()),
            Self::Namespace(namespace) => ObjectRef::Namespace(namespace.name.clone()),
            Self::Node(node) => ObjectRef::Node(node.name.clone()),
            Self::Service(service) => ObjectRef::Service(service.key.clone()),
            Self::EndpointSlice(slice) => ObjectRef::EndpointSlice(slice.key.clone()),
            Self::NetworkPolicy(policy) => ObjectRef::Policy(policy.id.clone()),
            Self::ClusterPolicy(policy) => ObjectRef::Policy(policy.id.clone()),
        }
    }
}

impl ObjectRef {
    /// The object of a kind with this namespace (`default` where a namespaced kind has none given) and name.
    #[must_use]
    pub fn new(kind: ObjectKind, namespace: Option<&str>, name: &str) -> Self {
        let namespace = namespace.unwrap_or("default");
        let key = || Arc::from(format!("{namespace}/{name}"));
        let policy = |kind, namespace| Self::Policy(PolicyRef { kind, namespace, name: name.into() });
        match kind {
            ObjectKind::Pod => Self::Pod(key()),
            ObjectKind::Namespace => Self::Namespace(name.into()),
            ObjectKind::Node => Self::Node(name.into()),
            ObjectKind::Service => Self::Service(key()),
            ObjectKind::EndpointSlice => Self::EndpointSlice(key()),
            ObjectKind::NetworkPolicy => policy(PolicyKind::NetworkPolicy, Some(namespace.into())),
            ObjectKind::ClusterNetworkPolicy => policy(PolicyKind::ClusterNetworkPolicy, None),
            ObjectKind::AdminNetworkPolicy => policy(PolicyKind::AdminNetworkPolicy, None),
            ObjectKind::BaselineAdminNetworkPolicy => policy(PolicyKind::BaselineAdminNetworkPolicy, None),
        }
    }

    /// Whose pods it concerns, where it is a NetworkPolicy.
    #[must_use]
    pub const fn policy_namespace(&self) -> Option<&Arc<str>> {
        match self {
            Self::Policy(policy) => policy.namespace.as_ref(),
            _ => None,
        }
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> ObjectKind {
        match self {
            Self::Pod(_) => ObjectKind::Pod,
            Self::Namespace(_) => ObjectKind::Namespace,
            Self::Node(_) => ObjectKind::Node,
            Self::Service(_) => ObjectKind::Service,
            Self::EndpointSlice(_) => ObjectKind::EndpointSlice,
            Self::Policy(policy) => policy.kind.object_kind(),
        }
    }
}

/// Kind and name, as in `Pod shop/frontend`.
impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(key) => write!(f, "Pod {key}"),
            Self::Namespace(name) => write!(f, "Namespace {name}"),
            Self::Node(name) => write!(f, "Node {name}"),
            Self::Service(key) => write!(f, "Service {key}"),
            Self::EndpointSlice(key) => write!(f, "EndpointSlice {key}"),
            Self::Policy(policy) => write!(f, "{:?} {policy}", policy.kind),
        }
    }
}
