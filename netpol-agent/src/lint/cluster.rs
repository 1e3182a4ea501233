//! What lint looks at: the state, sorted, so that findings come in a definite order.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use crate::{
    cluster::{ObjectRef, manifests::Completeness},
    declared::{DeclaredState, selects, target},
    model::{
        ClusterPolicy, FieldPath, LabelSelector, Namespace, NetworkPolicy, Pod, PolicyDirection, PolicyRef,
        Protocol, Service, Values, network_policy::Peer,
    },
    policy::{ConnectionPeer, Engine, Query, Verdict},
};

use super::finding::{LintCode, LintFinding};

pub(super) struct LintInput<'a> {
    pub(super) state: &'a DeclaredState,
    pub(super) policies: Vec<&'a Arc<NetworkPolicy>>,
    pub(super) cluster_policies: Vec<&'a Arc<ClusterPolicy>>,
    /// Pods that policies can select.
    pub(super) pods: Vec<&'a Arc<Pod>>,
    /// Pods in their node's network, which policies do not reach.
    pub(super) host_pods: Vec<&'a Arc<Pod>>,
    pub(super) namespaces: Vec<&'a Arc<Namespace>>,
    pub(super) services: Vec<&'a Arc<Service>>,
    pods_of: HashMap<&'a str, Vec<&'a Arc<Pod>>>,
    policies_of: HashMap<&'a str, Vec<&'a Arc<NetworkPolicy>>>,
    /// The pods of peers that were looked for: several rules ask for the same.
    peers: RefCell<HashMap<PeerScope, Vec<&'a Arc<Pod>>>>,
}

/// The namespaces, or the policy's own one, and the pods that a peer means.
type PeerScope = (Result<LabelSelector, Arc<str>>, LabelSelector);

impl<'a> LintInput<'a> {
    pub(super) fn new(state: &'a DeclaredState) -> Self {
        let snapshot = state.snapshot();
        let mut policies: Vec<_> = snapshot.network_policies().collect();
        policies.sort_by(|a, b| a.id.cmp(&b.id));
        let mut cluster_policies: Vec<_> = snapshot.cluster_policies().collect();
        cluster_policies.sort_by(|a, b| a.id.cmp(&b.id));
        let mut pods: Vec<_> = snapshot.pods().filter(|pod| pod.is_member()).collect();
        pods.sort_by(|a, b| a.key.cmp(&b.key));
        let mut host_pods: Vec<_> =
            snapshot.pods().filter(|pod| pod.host_network && !pod.is_finished()).collect();
        host_pods.sort_by(|a, b| a.key.cmp(&b.key));
        let mut namespaces: Vec<_> = snapshot.namespaces().collect();
        namespaces.sort_by(|a, b| a.name.cmp(&b.name));
        let mut services: Vec<_> = snapshot.services().collect();
        services.sort_by(|a, b| a.key.cmp(&b.key));
        let mut pods_of: HashMap<&str, Vec<_>> = HashMap::new();
        for pod in &pods {
            pods_of.entry(pod.namespace()).or_default().push(*pod);
        }
        let mut policies_of: HashMap<&str, Vec<_>> = HashMap::new();
        for policy in &policies {
            policies_of.entry(&policy.namespace).or_default().push(*policy);
        }
        Self {
            state,
            policies,
            cluster_policies,
            pods,
            host_pods,
            namespaces,
            services,
            pods_of,
            policies_of,
            peers: RefCell::default(),
        }
    }

    pub(super) fn engine(&self) -> &'a Engine {
        &self.state.engine
    }

    /// Whether what is not there does not exist. Of files that is not known: they are one repository of many.
    pub(super) fn is_whole(&self) -> bool {
        self.state.manifests.completeness == Completeness::Whole
    }

    /// All pods of a namespace that policies can select.
    pub(super) fn pods_of(&self, namespace: &str) -> &[&'a Arc<Pod>] {
        self.pods_of.get(namespace).map_or(&[], |pods| pods)
    }

    /// All NetworkPolicies of a namespace.
    pub(super) fn policies_of(&self, namespace: &str) -> &[&'a Arc<NetworkPolicy>] {
        self.policies_of.get(namespace).map_or(&[], |policies| policies)
    }

    /// The pods of a namespace that a selector matches.
    pub(super) fn selected(&self, namespace: &str, pods: &LabelSelector) -> Vec<&'a Arc<Pod>> {
        self.pods_of(namespace).iter().filter(|pod| pods.matches(pod.labels())).copied().collect()
    }

    /// The pods in their node's network that a selector matches.
    pub(super) fn selected_host_pods(&self, namespace: &str, pods: &LabelSelector) -> Vec<&'a Arc<Pod>> {
        let here = self.host_pods.iter().filter(|pod| **pod.namespace() == *namespace);
        here.filter(|pod| pods.matches(pod.labels())).copied().collect()
    }

    /// The namespaces that a peer of a policy means.
    pub(super) fn peer_namespaces(&self, policy: &NetworkPolicy, peer: &Peer) -> Vec<&'a Arc<Namespace>> {
        let Peer::Pods { namespaces, .. } = peer else { return Vec::new() };
        let is_it = |namespace: &&&Arc<Namespace>| match namespaces {
            None => namespace.name == policy.namespace,
            Some(selector) => selector.matches(&namespace.labels),
        };
        self.namespaces.iter().filter(is_it).copied().collect()
    }

    /// The pods that a peer of a policy means.
    pub(super) fn peers(&self, policy: &NetworkPolicy, peer: &Peer) -> Vec<&'a Arc<Pod>> {
        let Peer::Pods { namespaces, pods } = peer else { return Vec::new() };
        let scope = namespaces.clone().ok_or_else(|| policy.namespace.clone());
        let scope = (scope, pods.clone());
        if let Some(known) = self.peers.borrow().get(&scope) {
            return known.clone();
        }
        let here = self.peer_namespaces(policy, peer);
        let found: Vec<_> = here.iter().flat_map(|namespace| self.selected(&namespace.name, pods)).collect();
        self.peers.borrow_mut().insert(scope, found.clone());
        found
    }

    /// The pods in their node's network that a peer of a policy means.
    pub(super) fn host_peers(&self, policy: &NetworkPolicy, peer: &Peer) -> Vec<&'a Arc<Pod>> {
        let Peer::Pods { pods, .. } = peer else { return Vec::new() };
        let here = self.peer_namespaces(policy, peer);
        here.iter().flat_map(|namespace| self.selected_host_pods(&namespace.name, pods)).collect()
    }

    /// Whether all pods that a peer may mean are known: in files, those of the policy's own namespace and of namespaces
    /// that are selected by name, where they have pods there.
    pub(super) fn knows_pods_of(&self, policy: &NetworkPolicy, peer: &Peer) -> bool {
        let Peer::Pods { namespaces, .. } = peer else { return true };
        let has_pods = |namespace: &str| !self.pods_of(namespace).is_empty();
        match namespaces {
            _ if self.is_whole() => true,
            None => has_pods(&policy.namespace),
            Some(selector) => {
                let names =
                    selector.requirements().iter().find_map(|requirement| match &requirement.values {
                        Values::In(values) if *requirement.key == *Namespace::NAME_LABEL => Some(values),
                        _ => None,
                    });
                names.is_some_and(|names| names.iter().all(|name| has_pods(name)))
            }
        }
    }

    /// The port of a pod behind each port of each Service that selects it: Service, its port, and the pod's.
    pub(super) fn service_ports(
        &self,
        pod: &Pod,
    ) -> impl Iterator<Item = (&'a Arc<Service>, Protocol, u16, u16)> {
        let own = self.services.iter().filter(move |service| selects(service, pod));
        own.flat_map(move |service| {
            let ports = service.ports.iter();
            ports.filter_map(move |port| Some((*service, port.protocol, port.port, target(pod, port)?)))
        })
    }

    /// What policies say of a connection.
    pub(super) fn ask(
        &self,
        source: ConnectionPeer<'a>,
        destination: ConnectionPeer<'a>,
        (protocol, port): (Protocol, u16),
    ) -> Verdict<'a> {
        self.engine().evaluate(&Query { source, destination, protocol, port, via_service: None })
    }

    /// A finding about a field of a policy.
    pub(super) fn finding(
        &self,
        code: LintCode,
        policy: &PolicyRef,
        path: &str,
        reason: String,
        remedy: String,
    ) -> LintFinding {
        let path = FieldPath::parse(path);
        let reference = ObjectRef::Policy(policy.clone());
        let origin = self.state.manifests.origin(&reference);
        LintFinding {
            code,
            severity: code.severity(),
            object: Some(reference.to_string()),
            file: origin.map(|origin| origin.file.to_string()).unwrap_or_default(),
            line: origin.map_or(0, |origin| origin.line_of(&path)),
            path,
            reason,
            remedy,
        }
    }
}

/// Names, of which no more than the first few are told.
pub(super) fn some_of<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    const TOLD: usize = 3;
    let names: Vec<&str> = names.into_iter().collect();
    let told = names.iter().take(TOLD).copied().collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(TOLD) {
        Some(more) if more > 0 => format!("{told} and {more} more"),
        _ => told,
    }
}

/// Where a list of peers is.
pub(super) fn peers_path(direction: PolicyDirection, rule: usize) -> String {
    let list = match direction {
        PolicyDirection::Ingress => "from",
        PolicyDirection::Egress => "to",
    };
    format!("spec.{direction}[{rule}].{list}")
}

pub(super) const DIRECTIONS: [PolicyDirection; 2] = [PolicyDirection::Ingress, PolicyDirection::Egress];
