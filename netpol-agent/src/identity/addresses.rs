//! Who has which address, and had it of late: what the API has told.

use std::{net::IpAddr, sync::Arc};

use super::{
    ip_history::{IpAssignment, IpHistory, IpHistoryWriter},
    ip_index::IpIndex,
};
use crate::model::{EndpointSlice, Monotonic, Node, PersistentMap, Pod, Protocol, Service, SocketAddress};

/// Who has which address at one moment, and had it of late. It never changes; copies share what they have in common.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    pods: PersistentMap<IpAddr, Arc<Pod>>,
    nodes: PersistentMap<IpAddr, Arc<Node>>,
    services: PersistentMap<IpAddr, Arc<Service>>,
    service_ports: PersistentMap<(Protocol, SocketAddress), Arc<Service>>,
    api_servers: Arc<[Arc<EndpointSlice>]>,
    history: IpHistory,
}

impl Addresses {
    /// The pod that has an address now. Finished pods have none any more, and a host-network pod's is its node's.
    #[must_use]
    pub fn pod(&self, ip: IpAddr) -> Option<&Arc<Pod>> {
        self.pods.get(&ip.to_canonical())
    }

    /// The node that has an address.
    #[must_use]
    pub fn node(&self, ip: IpAddr) -> Option<&Arc<Node>> {
        self.nodes.get(&ip.to_canonical())
    }

    /// The Service that has an address: its cluster addresses and those of its load balancers.
    #[must_use]
    pub fn service(&self, ip: IpAddr) -> Option<&Arc<Service>> {
        self.services.get(&ip.to_canonical())
    }

    /// The Service that has a port at one of its own addresses.
    #[must_use]
    pub fn service_port(&self, protocol: Protocol, at: SocketAddress) -> Option<&Arc<Service>> {
        let at = SocketAddress { address: at.address.to_canonical(), ..at };
        self.service_ports.get(&(protocol, at))
    }

    /// Whether another state surely has the same pod, or none, at an address, and the same nodes and Services at all.
    #[must_use]
    pub fn is_same_at(&self, other: &Self, ip: IpAddr) -> bool {
        self.nodes.is_same(&other.nodes)
            && self.services.is_same(&other.services)
            && self.service_ports.is_same(&other.service_ports)
            && self.pods.shares(&other.pods, &ip.to_canonical())
    }

    /// The endpoints of the Kubernetes API: the API server keeps the Service `default/kubernetes` and its endpoints itself
    /// (kube-apiserver's `--endpoint-reconciler-type`).
    pub fn api_servers(&self) -> impl Iterator<Item = &Arc<EndpointSlice>> {
        self.api_servers.iter()
    }

    /// The pods that had an address of late and have it no longer, oldest first.
    #[must_use]
    pub fn past(&self, ip: IpAddr) -> &[IpAssignment] {
        self.history.past(ip.to_canonical())
    }

    /// Since when the pod that has an address has it; [`Monotonic::ZERO`] where that is long ago.
    #[must_use]
    pub fn since(&self, ip: IpAddr) -> Monotonic {
        self.history.since(ip.to_canonical())
    }
}

/// The one who keeps [`Addresses`] up to date.
#[derive(Debug, Default)]
pub struct AddressIndex {
    pods: IpIndex<IpAddr, Pod>,
    nodes: IpIndex<IpAddr, Node>,
    services: IpIndex<IpAddr, Service>,
    service_ports: IpIndex<(Protocol, SocketAddress), Service>,
    api_servers: Arc<[Arc<EndpointSlice>]>,
    history: IpHistory,
    writer: IpHistoryWriter,
}

impl AddressIndex {
    /// What changes from now on changes at this time. Without it, nothing is remembered of the past.
    pub fn set_time(&mut self, now: Monotonic) {
        self.writer.set_time(&mut self.history, now);
    }

    /// Replaces a pod by another one, or by the same one as it is now.
    pub fn replace_pod(&mut self, old: Option<&Arc<Pod>>, new: Option<&Arc<Pod>>) {
        let mut ips: Vec<IpAddr> =
            old.into_iter().chain(new).flat_map(|pod| pod.ips.iter().copied()).collect();
        ips.sort_unstable();
        ips.dedup();
        let before: Vec<_> = ips.into_iter().map(|ip| (ip, self.pods.holders().get(&ip).cloned())).collect();
        if let Some(old) = old {
            self.pods.remove(old);
        }
        if let Some(new) = new {
            self.pods.add(new);
        }
        for (ip, holder) in before {
            self.writer.pass(&mut self.history, ip, holder, self.pods.holders().get(&ip));
        }
    }

    /// Adds a node's addresses.
    pub fn add_node(&mut self, node: &Arc<Node>) {
        self.nodes.add(node);
    }

    /// Removes a node's addresses.
    pub fn remove_node(&mut self, node: &Arc<Node>) {
        self.nodes.remove(node);
    }

    /// Adds a Service's addresses.
    pub fn add_service(&mut self, service: &Arc<Service>) {
        self.services.add(service);
        self.service_ports.add(service);
    }

    /// Removes a Service's addresses.
    pub fn remove_service(&mut self, service: &Arc<Service>) {
        self.services.remove(service);
        self.service_ports.remove(service);
    }

    /// Sets the endpoints of the Kubernetes API.
    pub fn set_api_servers(&mut self, slices: Arc<[Arc<EndpointSlice>]>) {
        self.api_servers = slices;
    }

    /// Who has which address now.
    #[must_use]
    pub fn publish(&self) -> Addresses {
        Addresses {
            pods: self.pods.holders().clone(),
            nodes: self.nodes.holders().clone(),
            services: self.services.holders().clone(),
            service_ports: self.service_ports.holders().clone(),
            api_servers: self.api_servers.clone(),
            history: self.history.clone(),
        }
    }
}
