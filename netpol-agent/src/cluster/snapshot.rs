//! The declared state of the cluster at one moment.

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

/// The declared state of the cluster at one moment. It never changes; a newer one has a higher generation.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(super) generation: u64,
    /// The generation that changed a policy last.
    pub(super) policies_since: u64,
    pub(super) pods: PersistentMap<Arc<str>, Arc<Pod>>,
    pub(super) addresses: Addresses,
    /// The pods in each node's network.
    pub(super) host_pods: PersistentMap<Arc<str>, Arc<[Arc<Pod>]>>,
    pub(super) namespaces: PersistentMap<Arc<str>, Arc<Namespace>>,
    pub(super) nodes: PersistentMap<Arc<str>, Arc<Node>>,
    /// What the nodes give to their pods.
    pub(super) pod_ranges: Arc<CidrSet>,
    pub(super) services: PersistentMap<Arc<str>, Arc<Service>>,
    pub(super) node_ports: PersistentMap<(Protocol, u16), Arc<Service>>,
    pub(super) slices: PersistentMap<Arc<str>, Arc<EndpointSlice>>,
    /// The slices of each Service.
    pub(super) service_slices: PersistentMap<Arc<str>, Arc<[Arc<EndpointSlice>]>>,
    pub(super) network_policies: PersistentMap<PolicyRef, Arc<NetworkPolicy>>,
    /// Namespaces with a NetworkPolicy that can't be read.
    pub(super) unreadable: PersistentMap<Arc<str>, ()>,
    pub(super) cluster_policies: PersistentMap<PolicyRef, Arc<ClusterPolicy>>,
    /// What the last generations changed, oldest first, without gaps up to this one.
    pub(super) recent: Box<[Changes]>,
}

/// The objects that one generation added, changed or removed.
pub(super) type Changes = Arc<[ObjectRef]>;

impl Snapshot {
    /// A snapshot of nothing, generation 0.
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

    /// How many changes of the cluster were published before this one.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The generation since which all policies are as they are.
    #[must_use]
    pub fn policies_since(&self) -> u64 {
        self.policies_since
    }

    /// The pod `namespace/name`.
    #[must_use]
    pub fn pod(&self, key: &str) -> Option<&Arc<Pod>> {
        self.pods.get(key)
    }

    /// The pod that has an address now. Finished pods have none any more, and a host-network pod's is its node's.
    #[must_use]
    pub fn pod_by_ip(&self, ip: IpAddr) -> Option<&Arc<Pod>> {
        self.addresses.pod(ip)
    }

    /// Who has which address, and had it of late.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The node that has an address.
    #[must_use]
    pub fn node_by_ip(&self, ip: IpAddr) -> Option<&Arc<Node>> {
        self.addresses.node(ip)
    }

    /// Whether an address is of those that a node gives to its pods (`spec.podCIDRs`). Not all plugins take them from
    /// there.
    #[must_use]
    pub fn is_for_pods(&self, ip: IpAddr) -> bool {
        self.pod_ranges.contains(ip.to_canonical())
    }

    /// A node by name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Arc<Node>> {
        self.nodes.get(name)
    }

    /// The pods that live in a node's network, those that have ended left out; in no order.
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

    /// All pods, in no order; finished and host-network ones too.
    pub fn pods(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.values()
    }

    /// All namespaces, in no order.
    pub fn namespaces(&self) -> impl Iterator<Item = &Arc<Namespace>> {
        self.namespaces.values()
    }

    /// All nodes, in no order.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.values()
    }

    /// All Services, in no order.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.values()
    }

    /// All NetworkPolicies, in no order.
    pub fn network_policies(&self) -> impl Iterator<Item = &Arc<NetworkPolicy>> {
        self.network_policies.values()
    }

    /// Whether a namespace has a NetworkPolicy that can't be read: nobody knows what it says of the pods there.
    #[must_use]
    pub fn hides_policy(&self, namespace: &str) -> bool {
        self.unreadable.contains_key(namespace)
    }

    /// The Service that has an address: its cluster addresses and those of its load balancers.
    #[must_use]
    pub fn service_by_ip(&self, ip: IpAddr) -> Option<&Arc<Service>> {
        self.addresses.service(ip)
    }

    /// Whether an address is a Service's inside the cluster, and not one that a load balancer gave it.
    #[must_use]
    pub fn is_cluster_ip(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.addresses.service(ip).is_some_and(|service| service.cluster_ips.contains(&ip))
    }

    /// The Service that is reached at an address and port: at one of its own addresses, or at a node's and its node port.
    /// Where a Service's address is a node's, too, only the Service's own ports are meant. With it the port of the Service
    /// that it is, if it has such a port.
    #[must_use]
    pub fn service_at(
        &self,
        protocol: Protocol,
        at: SocketAddress,
    ) -> Option<(&Arc<Service>, Option<&ServicePort>)> {
        let at = SocketAddress { address: at.address.to_canonical(), ..at };
        let service = self.service_by_ip(at.address);
        // Most addresses are no Service's, and most ports no node port.
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
        let is_it = |port: &&ServicePort| (port.protocol, port.node_port) == (protocol, Some(at.port));
        Some((service, service.ports.iter().find(is_it)))
    }

    /// The EndpointSlices of the Service `namespace/name`, in no order.
    pub fn endpoint_slices(&self, service: &str) -> impl Iterator<Item = &Arc<EndpointSlice>> {
        self.service_slices.get(service).into_iter().flat_map(|slices| slices.iter())
    }

    /// All cluster-wide policies, in no order.
    pub fn cluster_policies(&self) -> impl Iterator<Item = &Arc<ClusterPolicy>> {
        self.cluster_policies.values()
    }

    /// Whether another snapshot surely has the same at two addresses, as far as policies and Services can tell; endpoints of
    /// Services are not compared.
    #[must_use]
    pub fn is_same_at(&self, other: &Self, ips: [IpAddr; 2]) -> bool {
        self.host_pods.is_same(&other.host_pods)
            && self.node_ports.is_same(&other.node_ports)
            && self.unreadable.is_same(&other.unreadable)
            && ips.into_iter().all(|ip| self.addresses.is_same_at(&other.addresses, ip))
    }

    /// An object that was applied; a namespace that is only implied is none.
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

    /// All objects that were applied, in no order; namespaces that are only implied are left out.
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

    /// The namespaces with a NetworkPolicy that can't be read, in no order.
    pub fn unreadable_namespaces(&self) -> impl Iterator<Item = &Arc<str>> {
        self.unreadable.keys()
    }

    /// Which objects changed after an earlier generation; one may be named more than once. `None` where that is too
    /// long ago to know.
    pub fn changed_since(&self, generation: u64) -> Option<impl Iterator<Item = &ObjectRef>> {
        let missed = self.generation.checked_sub(generation)?;
        let missed = usize::try_from(missed).ok()?;
        let first = self.recent.len().checked_sub(missed)?;
        Some(self.recent.iter().skip(first).flat_map(|changes| changes.iter()))
    }
}
