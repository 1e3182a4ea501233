//! The index of all Kubernetes objects. It is the only owner of the declared state, and publishes it as snapshots.
//!
//! Objects are applied and deleted one by one, or a whole list replaces all objects of a kind. A snapshot is
//! immutable, and shares its unchanged parts with the previous one.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use super::{Object, ObjectRef, Snapshot, interner::Interner, snapshot::Changes};
use crate::{
    identity::AddressIndex,
    model::{
        EndpointSlice, Labels, Monotonic, Namespace, ObjectKind, PersistentMap, Pod, Protocol, Service,
        object::NamespaceOrigin,
    },
};

/// The Service of the Kubernetes API server, as `namespace/name`.
const API_SERVER: &str = "default/kubernetes";

/// For how many generations the changed objects are kept in a snapshot.
const REMEMBERED: usize = 64;

/// Stores the objects that are applied, removes the ones that are deleted, and publishes snapshots.
#[derive(Debug)]
pub struct Index {
    /// The current state. `pending` lists the objects that have changed since the last snapshot.
    state: Snapshot,
    /// The last snapshot.
    published: Arc<Snapshot>,
    pending: Vec<ObjectRef>,
    recent: VecDeque<Changes>,
    addresses: AddressIndex,
    /// The number of pods and policies in each namespace.
    residents: HashMap<Arc<str>, usize>,
    interner: Interner,
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

impl Index {
    /// Creates an empty index.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: Snapshot::empty(),
            published: Arc::new(Snapshot::empty()),
            pending: Vec::new(),
            recent: VecDeque::new(),
            addresses: AddressIndex::default(),
            residents: HashMap::new(),
            interner: Interner::default(),
        }
    }

    /// Sets the time of the following changes, by the kernel's monotonic clock. If it is never set, the index keeps no
    /// history of IP addresses.
    pub fn set_time(&mut self, now: Monotonic) {
        self.addresses.set_time(now);
    }

    /// Adds an object, or replaces the object with the same name. An unchanged object has no effect.
    pub fn apply(&mut self, object: Object) {
        let reference = object.reference();
        let old = self.state.object(&reference);
        if old.as_ref() == Some(&object) {
            return;
        }
        self.remove(&reference);
        self.pending.push(reference);
        match object {
            Object::Pod(pod) => {
                let pod = self.interner.share(pod);
                let old = match &old {
                    Some(Object::Pod(old)) => Some(old),
                    _ => None,
                };
                self.addresses.replace_pod(old, Some(&pod));
                self.add_resident(pod.namespace());
                if let Some(node) = host(&pod) {
                    group(&mut self.state.host_pods, node, |pods| pods.push(pod.clone()));
                }
                self.state.pods.insert(pod.key.clone(), pod);
            }
            Object::Namespace(namespace) => {
                self.state.namespaces.insert(namespace.name.clone(), namespace);
            }
            Object::Node(node) => {
                self.addresses.add_node(&node);
                if !node.pod_cidrs.is_empty() {
                    let ranges = Arc::make_mut(&mut self.state.pod_ranges);
                    node.pod_cidrs.iter().for_each(|range| ranges.add(*range));
                }
                self.state.nodes.insert(node.name.clone(), node);
            }
            Object::Service(service) => {
                self.addresses.add_service(&service);
                for port in node_ports(&service) {
                    self.state.node_ports.insert(port, service.clone());
                }
                self.state.services.insert(service.key.clone(), service);
            }
            Object::EndpointSlice(slice) => {
                group(&mut self.state.service_slices, &slice.service, |slices| slices.push(slice.clone()));
                self.update_api_servers(&slice.service);
                self.state.slices.insert(slice.key.clone(), slice);
            }
            Object::NetworkPolicy(policy) => {
                self.add_resident(&policy.namespace);
                self.state.network_policies.insert(policy.id.clone(), policy);
            }
            Object::ClusterPolicy(policy) => self.state.cluster_policies.insert(policy.id.clone(), policy),
        }
    }

    /// Removes an object. If there is no such object, this has no effect.
    pub fn delete(&mut self, reference: &ObjectRef) {
        if let Some(Object::Pod(pod)) = self.state.object(reference) {
            self.addresses.replace_pod(Some(&pod), None);
        }
        self.remove(reference);
    }

    /// Marks a namespace as having an unreadable NetworkPolicy.
    pub fn hide_policy(&mut self, namespace: &Arc<str>) {
        if !self.state.unreadable.contains_key(namespace) {
            self.state.unreadable.insert(namespace.clone(), ());
            self.pending.push(ObjectRef::Namespace(namespace.clone()));
        }
    }

    /// Removes that mark from all other namespaces than these.
    pub fn retain_hidden(&mut self, namespaces: &HashSet<&Arc<str>>) {
        let before: Vec<Arc<str>> = self.state.unreadable.keys().cloned().collect();
        for namespace in before.into_iter().filter(|namespace| !namespaces.contains(namespace)) {
            self.state.unreadable.remove(&namespace);
            self.pending.push(ObjectRef::Namespace(namespace));
        }
    }

    fn remove(&mut self, reference: &ObjectRef) {
        let Some(object) = self.state.object(reference) else { return };
        self.pending.push(reference.clone());
        match object {
            Object::Pod(pod) => {
                if let Some(node) = host(&pod) {
                    group(&mut self.state.host_pods, node, |pods| pods.retain(|other| other.key != pod.key));
                }
                self.state.pods.remove(&pod.key);
                self.remove_resident(pod.namespace());
            }
            Object::Namespace(namespace) => {
                self.state.namespaces.remove(&namespace.name);
                if self.residents.contains_key(&namespace.name) {
                    self.add_implied(namespace.name.clone());
                }
            }
            Object::Node(node) => {
                self.addresses.remove_node(&node);
                if !node.pod_cidrs.is_empty() {
                    let ranges = Arc::make_mut(&mut self.state.pod_ranges);
                    node.pod_cidrs.iter().for_each(|range| ranges.remove(*range));
                }
                self.state.nodes.remove(&node.name);
            }
            Object::Service(service) => {
                self.addresses.remove_service(&service);
                for port in node_ports(&service) {
                    if self.state.node_ports.get(&port).is_some_and(|holder| holder.key == service.key) {
                        self.state.node_ports.remove(&port);
                    }
                }
                self.state.services.remove(&service.key);
            }
            Object::EndpointSlice(slice) => {
                let others =
                    |slices: &mut Vec<Arc<EndpointSlice>>| slices.retain(|other| other.key != slice.key);
                group(&mut self.state.service_slices, &slice.service, others);
                self.update_api_servers(&slice.service);
                self.state.slices.remove(&slice.key);
            }
            Object::NetworkPolicy(policy) => {
                self.state.network_policies.remove(&policy.id);
                self.remove_resident(&policy.namespace);
            }
            Object::ClusterPolicy(policy) => {
                self.state.cluster_policies.remove(&policy.id);
            }
        }
    }

    /// Replaces all objects with these. Unchanged objects do not count as changes.
    pub fn sync(&mut self, objects: impl IntoIterator<Item = Object>) {
        let mut kept = HashSet::new();
        for object in objects {
            kept.insert(object.reference());
            self.apply(object);
        }
        let removed: Vec<ObjectRef> =
            self.state.references().filter(|reference| !kept.contains(reference)).collect();
        for reference in removed {
            self.delete(&reference);
        }
    }

    /// Removes all objects of a kind except for these.
    pub fn retain(&mut self, kind: ObjectKind, kept: &HashSet<ObjectRef>) {
        let removed =
            self.state.references().filter(|reference| reference.kind() == kind && !kept.contains(reference));
        for reference in removed.collect::<Vec<_>>() {
            self.delete(&reference);
        }
    }

    /// Publishes the state as a snapshot. If nothing has changed, this returns the last snapshot.
    pub fn publish(&mut self) -> Arc<Snapshot> {
        if self.pending.is_empty() {
            return self.published.clone();
        }
        self.state.generation += 1;
        if self.pending.iter().any(|reference| matches!(reference, ObjectRef::Policy(_))) {
            self.state.policies_since = self.state.generation;
        }
        self.recent.push_back(std::mem::take(&mut self.pending).into());
        if self.recent.len() > REMEMBERED {
            self.recent.pop_front();
        }
        self.published = Arc::new(Snapshot {
            addresses: self.addresses.publish(),
            recent: self.recent.iter().cloned().collect(),
            ..self.state.clone()
        });
        self.published.clone()
    }

    /// Updates the API servers' addresses if the Service is the one of the Kubernetes API server.
    fn update_api_servers(&mut self, service: &str) {
        if service == API_SERVER {
            let slices = self.state.service_slices.get(service).cloned().unwrap_or_default();
            self.addresses.set_api_servers(slices);
        }
    }

    /// Counts a pod or policy in a namespace. If the namespace has no object of its own, an implied one is added.
    fn add_resident(&mut self, namespace: &Arc<str>) {
        *self.residents.entry(namespace.clone()).or_default() += 1;
        if !self.state.namespaces.contains_key(namespace) {
            self.add_implied(namespace.clone());
        }
    }

    /// Uncounts a pod or policy in a namespace. An implied namespace is removed with its last pod or policy.
    fn remove_resident(&mut self, namespace: &Arc<str>) {
        let Some(residents) = self.residents.get_mut(namespace) else { return };
        *residents -= 1;
        if *residents > 0 {
            return;
        }
        self.residents.remove(namespace);
        let implied = |n: &Arc<Namespace>| n.origin == NamespaceOrigin::Implied;
        if self.state.namespaces.get(namespace).is_some_and(implied) {
            self.state.namespaces.remove(namespace);
            self.pending.push(ObjectRef::Namespace(namespace.clone()));
        }
    }

    /// Adds a namespace that has no object of its own.
    fn add_implied(&mut self, name: Arc<str>) {
        self.pending.push(ObjectRef::Namespace(name.clone()));
        let namespace = Namespace::new(name.clone(), &Labels::default(), NamespaceOrigin::Implied);
        self.state.namespaces.insert(name, Arc::new(namespace));
    }
}

/// The node of a host-network pod. `None` for other pods, for finished ones, and if the pod is not scheduled.
fn host(pod: &Pod) -> Option<&Arc<str>> {
    pod.node.as_ref().filter(|_| pod.host_network && !pod.is_finished())
}

/// Changes the members of one group. An empty group is removed.
fn group<T>(
    groups: &mut PersistentMap<Arc<str>, Arc<[Arc<T>]>>,
    name: &Arc<str>,
    change: impl FnOnce(&mut Vec<Arc<T>>),
) {
    let mut members = groups.get(name).map(|members| members.to_vec()).unwrap_or_default();
    change(&mut members);
    if members.is_empty() {
        groups.remove(name);
    } else {
        groups.insert(name.clone(), members.into());
    }
}

/// The node ports of a Service. The API server allocates each node port to one Service only.
fn node_ports(service: &Service) -> impl Iterator<Item = (Protocol, u16)> {
    service.ports.iter().filter_map(|port| Some((port.protocol, port.node_port?)))
}
