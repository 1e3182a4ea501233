//! Kubernetes objects, reduced to the fields that the agent uses.

use std::{net::IpAddr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Labels, PodClass, Protocol};

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// `namespace/name`.
    pub key: Arc<str>,
    /// The UID; empty for a manifest that has none.
    pub uid: Arc<str>,
    /// What policies can see of the pod. Similar pods share it.
    pub class: Arc<PodClass>,
    /// The addresses in `status.podIPs`; IPv4-mapped ones are converted to IPv4. A host-network pod has its node's
    /// addresses.
    pub ips: Box<[IpAddr]>,
    /// Whether it uses the host network.
    pub host_network: bool,
    /// The node it runs on, once scheduled.
    pub node: Option<Arc<str>>,
    /// The phase.
    pub phase: PodPhase,
    /// The workload that it belongs to.
    pub workload: Option<Arc<Workload>>,
    /// When it was created.
    pub created: Option<jiff::Timestamp>,
    /// Whether it is terminating (`metadata.deletionTimestamp` is set). It may continue to run for a while. The API
    /// reports that it has ended only after the fact.
    pub is_ending: bool,
}

/// A declared port of a container.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContainerPort {
    /// The port number, 1 to 65535.
    pub port: u16,
    /// The protocol; TCP by default.
    pub protocol: Protocol,
    /// The optional name, which policies can use.
    pub name: Option<Box<str>>,
}

/// The phase of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PodPhase {
    /// The pod comes from a manifest without a status. It is treated as if it ran.
    Declared,
    /// Accepted by the cluster; not all containers have started.
    Pending,
    /// Running.
    Running,
    /// All containers terminated successfully.
    Succeeded,
    /// All containers terminated, at least one with a failure.
    Failed,
    /// The node does not respond.
    Unknown,
}

/// The controller that owns a pod (`metadata.ownerReferences`). The ReplicaSet of a Deployment is replaced by the
/// Deployment, the Job of a CronJob by the CronJob.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Workload {
    /// The API kind, such as `Deployment`.
    pub kind: Box<str>,
    /// The name.
    pub name: Box<str>,
}

impl Pod {
    /// Creates a pod that no cluster has, as a manifest declares it: without addresses, node or workload.
    #[must_use]
    pub fn declared(key: impl Into<Arc<str>>, class: PodClass) -> Self {
        Self {
            key: key.into(),
            uid: "".into(),
            class: Arc::new(class),
            ips: Box::default(),
            host_network: false,
            node: None,
            phase: PodPhase::Declared,
            workload: None,
            created: None,
            is_ending: false,
        }
    }

    /// Returns the namespace.
    #[must_use]
    pub fn namespace(&self) -> &Arc<str> {
        &self.class.namespace
    }

    /// Returns the name, without the namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        self.key.split_once('/').map_or(&*self.key, |(_, name)| name)
    }

    /// Returns the labels.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.class.labels
    }

    /// Returns whether all its containers have terminated. It keeps its labels, but its addresses may be reused.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.phase, PodPhase::Succeeded | PodPhase::Failed)
    }

    /// Returns whether policies can select it and its addresses are its own.
    ///
    /// That is not so for pods that have terminated, use the host network or have no address yet. A pod from a manifest
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
    /// The name.
    pub name: Arc<str>,
    /// The labels, including `kubernetes.io/metadata.name`.
    pub labels: Labels,
    /// Whether there is a Namespace object.
    pub origin: NamespaceOrigin,
}

/// How the agent knows of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NamespaceOrigin {
    /// There is a Namespace object.
    Declared,
    /// A pod or a policy is in it, but there is no Namespace object.
    Implied,
}

impl Namespace {
    /// The label that every namespace has; its value is the name.
    pub const NAME_LABEL: &'static str = "kubernetes.io/metadata.name";

    /// Creates a namespace with these labels and the name label.
    #[must_use]
    pub fn new(name: Arc<str>, labels: &Labels, origin: NamespaceOrigin) -> Self {
        let labels = labels.with(Self::NAME_LABEL, &name);
        Self { name, labels, origin }
    }
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The name.
    pub name: Arc<str>,
    /// The labels.
    pub labels: Labels,
    /// The entries of `status.addresses` that are IP addresses, of any type.
    pub ips: Box<[IpAddr]>,
    /// The CIDR ranges of the addresses of its pods.
    pub pod_cidrs: Box<[ipnet::IpNet]>,
}

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// `namespace/name`.
    pub key: Arc<str>,
    /// The namespace.
    pub namespace: Arc<str>,
    /// The cluster IPs and the load balancer IPs.
    pub ips: Box<[IpAddr]>,
    /// The cluster IPs.
    pub cluster_ips: Box<[IpAddr]>,
    /// Whether the Service itself may refuse connections: it accepts only some source ranges, or forwards only to
    /// endpoints on the client's node.
    pub is_choosy: bool,
    /// Whether it is reached from outside of the cluster.
    #[serde(default)]
    pub exposure: Exposure,
    /// Whether it has no address on purpose (`clusterIP: None`): its name stands for the pods themselves.
    #[serde(default)]
    pub is_headless: bool,
    /// The labels of the pods behind it; `None` for a Service without a selector.
    pub selector: Option<Labels>,
    /// The ports.
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
    /// The name, which endpoints refer to; `None` if the Service has only this port.
    pub name: Option<Box<str>>,
    /// The port that clients use.
    pub port: u16,
    /// The port that clients use at the address of any node.
    pub node_port: Option<u16>,
    /// The protocol; TCP by default.
    pub protocol: Protocol,
    /// The port of the pods.
    pub target: TargetPort,
}

/// The target port of a Service port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TargetPort {
    /// By number.
    Number(u16),
    /// By the name of a container port.
    Named(Box<str>),
}

/// A part of the endpoints of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSlice {
    /// `namespace/name`.
    pub key: Arc<str>,
    /// The Service, `namespace/name`.
    pub service: Arc<str>,
    /// The addresses of the endpoints that are ready.
    pub ready: Box<[IpAddr]>,
    /// The ports of the endpoints.
    pub ports: Box<[EndpointPort]>,
}

/// A port of all endpoints of a slice.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EndpointPort {
    /// The name of the Service's port; `None` if it has none.
    pub name: Option<Box<str>>,
    /// The port number of the endpoints.
    pub port: u16,
    /// The protocol; TCP by default.
    pub protocol: Protocol,
}
