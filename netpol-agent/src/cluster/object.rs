//! Any object that the index takes.

use std::{fmt, sync::Arc};

use crate::model::{ClusterPolicy, Namespace, NetworkPolicy, Node, Pod, PolicyRef, Service};

/// An object of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A pod.
    Pod(Arc<Pod>),
    /// A namespace.
    Namespace(Arc<Namespace>),
    /// A node.
    Node(Arc<Node>),
    /// A Service.
    Service(Arc<Service>),
    /// A NetworkPolicy.
    NetworkPolicy(Arc<NetworkPolicy>),
    /// A cluster-wide policy.
    ClusterPolicy(Arc<ClusterPolicy>),
}

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectRef {
    /// A pod, by `namespace/name`.
    Pod(Arc<str>),
    /// A namespace, by name.
    Namespace(Arc<str>),
    /// A node, by name.
    Node(Arc<str>),
    /// A Service, by `namespace/name`.
    Service(Arc<str>),
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
            Self::NetworkPolicy(policy) => ObjectRef::Policy(policy.id.clone()),
            Self::ClusterPolicy(policy) => ObjectRef::Policy(policy.id.clone()),
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
            Self::Policy(policy) => write!(f, "{:?} {policy}", policy.kind),
        }
    }
}
