//! Kubernetes objects, trimmed to what identity and policy need.

use std::{net::IpAddr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Labels, PodClass, Protocol};

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// `namespace/name`.
    pub key: Arc<str>,
    /// Its UID; empty where a manifest has none.
    pub uid: Arc<str>,
    /// All that policies can know of it; pods of one kind share it.
    pub class: Arc<PodClass>,
    /// Every address of `status.podIPs`, IPv4-mapped ones folded. A host-network pod's are its node's.
    pub ips: Box<[IpAddr]>,
    /// Whether it lives in its node's network namespace.
    pub host_network: bool,
    /// The node it runs on, once scheduled.
    pub node: Option<Arc<str>>,
    /// How far it is in its life.
    pub phase: PodPhase,
    /// What made it.
    pub workload: Option<Arc<Workload>>,
    /// When it was made.
    pub created: Option<jiff::Timestamp>,
    /// Whether it has been told to end. It may run on for a while; the news that it has ended comes later than its end.
    pub is_ending: bool,
}

/// A declared port of a container.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContainerPort {
    /// The port number, 1 to 65535.
    pub port: u16,
    /// The protocol; TCP where none is given.
    pub protocol: Protocol,
    /// The port's name, for policies that use it.
    pub name: Option<Box<str>>,
}

/// How far a pod is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PodPhase {
    /// A manifest without a status: meant to run, seen nowhere.
    Declared,
    /// Accepted, not all containers started.
    Pending,
    /// Running.
    Running,
    /// All containers ended well.
    Succeeded,
    /// All containers ended, one badly.
    Failed,
    /// Its node does not answer.
    Unknown,
}

/// The controller that made a pod (`metadata.ownerReferences`): for the ReplicaSet of a Deployment that Deployment, for
/// the Job of a CronJob that CronJob.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Workload {
    /// Its API kind, such as `Deployment`.
    pub kind: Box<str>,
    /// Its name.
    pub name: Box<str>,
}

impl Pod {
    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &Arc<str> {
        &self.class.namespace
    }

    /// Its name, without the namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        self.key.split_once('/').map_or(&*self.key, |(_, name)| name)
    }

    /// Its labels.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.class.labels
    }

    /// Whether its containers have all ended: it keeps its labels, but no longer its addresses.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.phase, PodPhase::Succeeded | PodPhase::Failed)
    }

    /// Whether policies can select it and its addresses are its own.
    ///
    /// Pods that have ended, live in the node's network or have no address yet are not; one that is only declared
    /// counts as if it ran.
    #[must_use]
    pub fn is_member(&self) -> bool {
        !self.host_network
            && !self.is_finished()
            && (!self.ips.is_empty() || self.phase == PodPhase::Declared)
    }
}

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Its name.
    pub name: Arc<str>,
    /// Its labels, `kubernetes.io/metadata.name` always among them.
    pub labels: Labels,
    /// Whether an object says so, or it only follows from what lives in it.
    pub origin: NamespaceOrigin,
}

/// How a namespace came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NamespaceOrigin {
    /// There is a Namespace object.
    Declared,
    /// A pod or a policy names it, and no Namespace object does.
    Implied,
}

impl Namespace {
    /// The label that every namespace has, with its name as the value.
    pub const NAME_LABEL: &'static str = "kubernetes.io/metadata.name";

    /// A namespace with these labels and the one that all have.
    #[must_use]
    pub fn new(name: Arc<str>, labels: &Labels, origin: NamespaceOrigin) -> Self {
        let labels = labels.with(Self::NAME_LABEL, &name);
        Self { name, labels, origin }
    }
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: Arc<str>,
    /// Its labels.
    pub labels: Labels,
    /// Its addresses (`status.addresses` of any type that is an IP address).
    pub ips: Box<[IpAddr]>,
    /// The ranges that its pods' addresses come from.
    pub pod_cidrs: Box<[ipnet::IpNet]>,
}

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// `namespace/name`.
    pub key: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its cluster addresses and those that load balancers gave it.
    pub ips: Box<[IpAddr]>,
    /// Its cluster addresses alone.
    pub cluster_ips: Box<[IpAddr]>,
    /// Whether it may refuse connections itself: it takes them from some places alone, or hands them to endpoints on the
    /// client's own node alone.
    pub is_choosy: bool,
    /// Whether it is reached from outside of the cluster.
    #[serde(default)]
    pub exposure: Exposure,
    /// Whether it has no address on purpose (`clusterIP: None`): its name stands for the pods themselves.
    #[serde(default)]
    pub is_headless: bool,
    /// The labels of the pods behind it; `None` where it selects none itself.
    pub selector: Option<Labels>,
    /// Its ports.
    pub ports: Box<[ServicePort]>,
}

/// Whether a Service is reached from outside of the cluster, by node ports, load balancers or external addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Exposure {
    /// By its cluster addresses alone.
    #[default]
    Inside,
    /// From outside; the pods see the address of the client (`externalTrafficPolicy: Local`).
    KeepsSource,
    /// From outside; a node may put its own address in the client's place (`externalTrafficPolicy: Cluster`, the default).
    NodeTakesSource,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ServicePort {
    /// Its name, by which endpoints know it; `None` where there is no other.
    pub name: Option<Box<str>>,
    /// The port that clients use.
    pub port: u16,
    /// The port that clients use at any node's address.
    pub node_port: Option<u16>,
    /// The protocol; TCP where none is given.
    pub protocol: Protocol,
    /// The pods' port.
    pub target: TargetPort,
}

/// Which port of the pods behind a Service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TargetPort {
    /// By number.
    Number(u16),
    /// By the name of a container port.
    Named(Box<str>),
}

/// Some of the endpoints behind a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSlice {
    /// `namespace/name`.
    pub key: Arc<str>,
    /// The Service, `namespace/name`.
    pub service: Arc<str>,
    /// The addresses of those that take connections.
    pub ready: Box<[IpAddr]>,
    /// Their ports.
    pub ports: Box<[EndpointPort]>,
}

/// A port that all endpoints of a slice have.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EndpointPort {
    /// The name of the Service's port; `None` where it has none.
    pub name: Option<Box<str>>,
    /// The endpoints' port.
    pub port: u16,
    /// The protocol; TCP where none is given.
    pub protocol: Protocol,
}
