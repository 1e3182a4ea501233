//! A snapshot: the declared state of the cluster at one point in time, immutable and cheap to copy.

use std::{net::IpAddr, sync::Arc};

use super::{Object, ObjectRef, cidr_set::CidrSet};
use crate::{
    identity::Addresses,
    model::{
        ClusterPolicy, EndpointSlice, Namespace, NetworkPolicy, Node, PersistentMap, Pod, PolicyRef,
        Protocol, Service, SocketAddress,
        object::{NamespaceOrigin, ServicePort},
    },
};

/// The declared state of the cluster at one point in time. A snapshot is immutable. A newer one has a higher
/// generation.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(super) generation: u64,
    /// The last generation that changed a policy.
    pub(super) policies_since: u64,
    pub(super) pods: PersistentMap<Arc<str>, Arc<Pod>>,
    pub(super) addresses: Addresses,
    /// The host-network pods of each node.
    pub(super) host_pods: PersistentMap<Arc<str>, Arc<[Arc<Pod>]>>,
    pub(super) namespaces: PersistentMap<Arc<str>, Arc<Namespace>>,
    pub(super) nodes: PersistentMap<Arc<str>, Arc<Node>>,
    /// The pod CIDRs of all nodes.
    pub(super) pod_ranges: Arc<CidrSet>,
    pub(super) services: PersistentMap<Arc<str>, Arc<Service>>,
    pub(super) node_ports: PersistentMap<(Protocol, u16), Arc<Service>>,
    pub(super) slices: PersistentMap<Arc<str>, Arc<EndpointSlice>>,
    /// The EndpointSlices of each Service.
    pub(super) service_slices: PersistentMap<Arc<str>, Arc<[Arc<EndpointSlice>]>>,
    pub(super) network_policies: PersistentMap<PolicyRef, Arc<NetworkPolicy>>,
    /// Namespaces with a NetworkPolicy that can't be read.
    pub(super) unreadable: PersistentMap<Arc<str>, ()>,
    pub(super) cluster_policies: PersistentMap<PolicyRef, Arc<ClusterPolicy>>,
    /// The changes of the last generations, oldest first. The last entry is this generation, and none is missing
    /// between.
    pub(super) recent: Box<[Changes]>,
}

/// The objects that one generation added, changed or removed.
pub(super) type Changes = Arc<[ObjectRef]>;

impl Snapshot {
    /// Creates an empty snapshot with generation 0.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            generation: 0,
            policies_since: 0,
            pods: PersistentMap::default(),
            addresses: Addresses::default(),
            host_pods: PersistentMap::default(),
            namespaces: PersistentMap::default(),
            nodes: PersistentMap::default(),
            pod_ranges: Arc::default(),
            services: PersistentMap::default(),
            node_ports: PersistentMap::default(),
            slices: PersistentMap::default(),
            service_slices: PersistentMap::default(),
            network_policies: PersistentMap::default(),
            unreadable: PersistentMap::default(),
            cluster_policies: PersistentMap::default(),
            recent: Box::default(),
        }
    }

    /// The generation: the number of changed snapshots that were published, up to and including this one.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The generation since which no policy has changed.
    #[must_use]
    pub fn policies_since(&self) -> u64 {
        self.policies_since
    }

    /// The pod `namespace/name`.
    #[must_use]
    pub fn pod(&self, key: &str) -> Option<&Arc<Pod>> {
        self.pods.get(key)
    }

    /// The pod that currently has an IP address. A finished pod no longer has an address. A host-network pod's address
    /// is its node's.
    #[must_use]
    pub fn pod_by_ip(&self, ip: IpAddr) -> Option<&Arc<Pod>> {
        self.addresses.pod(ip)
    }

    /// The current owners of all IP addresses, and the recent ones.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The node that has an IP address.
    #[must_use]
    pub fn node_by_ip(&self, ip: IpAddr) -> Option<&Arc<Node>> {
        self.addresses.node(ip)
    }

    /// Returns true if an address is in a node's pod CIDRs (`spec.podCIDRs`). Not all CNI plugins allocate from these
    /// CIDRs.
    #[must_use]
    pub fn is_for_pods(&self, ip: IpAddr) -> bool {
        self.pod_ranges.contains(ip.to_canonical())
    }

    /// A node by name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Arc<Node>> {
        self.nodes.get(name)
    }

    /// The host-network pods of a node that have not finished, in no particular order.
    pub fn host_pods(&self, node: &str) -> impl Iterator<Item = &Arc<Pod>> {
        self.host_pods.get(node).into_iter().flat_map(|pods| pods.iter())
    }

    /// A namespace by name.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<&Arc<Namespace>> {
        self.namespaces.get(name)
    }

    /// A NetworkPolicy.
    #[must_use]
    pub fn network_policy(&self, id: &PolicyRef) -> Option<&Arc<NetworkPolicy>> {
        self.network_policies.get(id)
    }

    /// A cluster-wide policy.
    #[must_use]
    pub fn cluster_policy(&self, id: &PolicyRef) -> Option<&Arc<ClusterPolicy>> {
        self.cluster_policies.get(id)
    }

    /// All pods, including finished and host-network pods, in no particular order.
    pub fn pods(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.values()
    }

    /// All namespaces, in no particular order.
    pub fn namespaces(&self) -> impl Iterator<Item = &Arc<Namespace>> {
        self.namespaces.values()
    }

    /// All nodes, in no particular order.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.values()
    }

    /// All Services, in no particular order.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.values()
    }

    /// All NetworkPolicies, in no particular order.
    pub fn network_policies(&self) -> impl Iterator<Item = &Arc<NetworkPolicy>> {
        self.network_policies.values()
    }

    /// Returns true if a namespace has an unreadable NetworkPolicy. It may affect any pod in the namespace.
    #[must_use]
    pub fn hides_policy(&self, namespace: &str) -> bool {
        self.unreadable.contains_key(namespace)
    }

    /// The Service that has an address as a cluster IP or as a load balancer's address.
    #[must_use]
    pub fn service_by_ip(&self, ip: IpAddr) -> Option<&Arc<Service>> {
        self.addresses.service(ip)
    }

    /// Returns true if an address is a Service's cluster IP, and not a load balancer's address.
    #[must_use]
    pub fn is_cluster_ip(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.addresses.service(ip).is_some_and(|service| service.cluster_ips.contains(&ip))
    }

    /// The Service that is reached at an address and port, with the matching Service port if it has one.
    ///
    /// A Service is reached at its own addresses, and at its node ports on every node. If a Service's address is also
    /// a node's address, it counts as the Service's only for the Service's own ports.
    #[must_use]
    pub fn service_at(
        &self,
        protocol: Protocol,
        at: SocketAddress,
    ) -> Option<(&Arc<Service>, Option<&ServicePort>)> {
        let at = SocketAddress { address: at.address.to_canonical(), ..at };
        let service = self.service_by_ip(at.address);
        // Most addresses are not a Service's, and most ports are not node ports.
        if service.is_some()
            && let Some(service) = self.addresses.service_port(protocol, at)
        {
            let port = service.ports.iter().find(|port| (port.protocol, port.port) == (protocol, at.port));
            return Some((service, port));
        }
        let on_nodes = self.node_ports.get(&(protocol, at.port));
        if service.is_none() && on_nodes.is_none() {
            return None;
        }
        if self.node_by_ip(at.address).is_none() {
            return service.map(|service| (service, None));
        }
        let service = on_nodes?;
        let matches = |port: &&ServicePort| (port.protocol, port.node_port) == (protocol, Some(at.port));
        Some((service, service.ports.iter().find(matches)))
    }

    /// The EndpointSlices of the Service `namespace/name`, in no particular order.
    pub fn endpoint_slices(&self, service: &str) -> impl Iterator<Item = &Arc<EndpointSlice>> {
        self.service_slices.get(service).into_iter().flat_map(|slices| slices.iter())
    }

    /// All cluster-wide policies, in no particular order.
    pub fn cluster_policies(&self) -> impl Iterator<Item = &Arc<ClusterPolicy>> {
        self.cluster_policies.values()
    }

    /// Returns true if another snapshot certainly has the same state for two addresses, as far as policies and Services are
    /// concerned. Endpoints of Services are not compared. A false result does not mean that the states differ.
    #[must_use]
    pub fn is_same_at(&self, other: &Self, ips: [IpAddr; 2]) -> bool {
        self.host_pods.is_same(&other.host_pods)
            && self.node_ports.is_same(&other.node_ports)
            && self.unreadable.is_same(&other.unreadable)
            && ips.into_iter().all(|ip| self.addresses.is_same_at(&other.addresses, ip))
    }

    /// The object with this reference. `None` for a namespace that is only implied.
    #[must_use]
    pub fn object(&self, reference: &ObjectRef) -> Option<Object> {
        match reference {
            ObjectRef::Pod(key) => self.pods.get(key).cloned().map(Object::Pod),
            ObjectRef::Namespace(name) => {
                let declared = self.namespaces.get(name).filter(|n| n.origin == NamespaceOrigin::Declared);
                declared.cloned().map(Object::Namespace)
            }
            ObjectRef::Node(name) => self.nodes.get(name).cloned().map(Object::Node),
            ObjectRef::Service(key) => self.services.get(key).cloned().map(Object::Service),
            ObjectRef::EndpointSlice(key) => self.slices.get(key).cloned().map(Object::EndpointSlice),
            ObjectRef::Policy(id) if id.namespace.is_some() => {
                self.network_policies.get(id).cloned().map(Object::NetworkPolicy)
            }
            ObjectRef::Policy(id) => self.cluster_policies.get(id).cloned().map(Object::ClusterPolicy),
        }
    }

    /// References to all objects, in no particular order. Namespaces that are only implied are left out.
    pub fn references(&self) -> impl Iterator<Item = ObjectRef> {
        let declared = self.namespaces.values().filter(|n| n.origin == NamespaceOrigin::Declared);
        let policies = self.network_policies.keys().chain(self.cluster_policies.keys());
        declared
            .map(|namespace| ObjectRef::Namespace(namespace.name.clone()))
            .chain(self.pods.keys().cloned().map(ObjectRef::Pod))
            .chain(self.nodes.keys().cloned().map(ObjectRef::Node))
            .chain(self.services.keys().cloned().map(ObjectRef::Service))
            .chain(self.slices.keys().cloned().map(ObjectRef::EndpointSlice))
            .chain(policies.cloned().map(ObjectRef::Policy))
    }

    /// The namespaces with an unreadable NetworkPolicy, in no particular order.
    pub fn unreadable_namespaces(&self) -> impl Iterator<Item = &Arc<str>> {
        self.unreadable.keys()
    }

    /// References to the objects that changed after an earlier generation. An object may be listed more than once.
    /// `None` if the changes since that generation are no longer known.
    pub fn changed_since(&self, generation: u64) -> Option<impl Iterator<Item = &ObjectRef>> {
        let missed = self.generation.checked_sub(generation)?;
        let missed = usize::try_from(missed).ok()?;
        let first = self.recent.len().checked_sub(missed)?;
        Some(self.recent.iter().skip(first).flat_map(|changes| changes.iter()))
    }
}
