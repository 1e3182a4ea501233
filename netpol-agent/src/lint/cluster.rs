//! What lint looks at: the state, sorted, so that findings come in a definite order.

use std::sync::Arc;

use crate::{
    cluster::ObjectRef,
    declared::DeclaredState,
    model::{
        ClusterPolicy, FieldPath, LabelSelector, Namespace, NetworkPolicy, Pod, PolicyDirection, PolicyRef,
        network_policy::Peer,
    },
    policy::Engine,
};

use super::finding::{LintCode, LintFinding};

pub(super) struct LintInput<'a> {
    pub(super) state: &'a DeclaredState,
    pub(super) policies: Vec<&'a Arc<NetworkPolicy>>,
    pub(super) cluster_policies: Vec<&'a Arc<ClusterPolicy>>,
    /// Pods that policies can select.
    pub(super) pods: Vec<&'a Arc<Pod>>,
    pub(super) namespaces: Vec<&'a Arc<Namespace>>,
}

impl<'a> LintInput<'a> {
    pub(super) fn new(state: &'a DeclaredState) -> Self {
        let snapshot = state.snapshot();
        let mut policies: Vec<_> = snapshot.network_policies().collect();
        policies.sort_by(|a, b| a.id.cmp(&b.id));
        let mut cluster_policies: Vec<_> = snapshot.cluster_policies().collect();
        cluster_policies.sort_by(|a, b| a.id.cmp(&b.id));
        let mut pods: Vec<_> = snapshot.pods().filter(|pod| pod.is_member()).collect();
        pods.sort_by(|a, b| a.key.cmp(&b.key));
        let mut namespaces: Vec<_> = snapshot.namespaces().collect();
        namespaces.sort_by(|a, b| a.name.cmp(&b.name));
        Self { state, policies, cluster_policies, pods, namespaces }
    }

    pub(super) fn engine(&self) -> &'a Engine {
        &self.state.engine
    }

    /// The pods of a namespace that a selector matches.
    pub(super) fn selected(&self, namespace: &str, pods: &LabelSelector) -> Vec<&'a Arc<Pod>> {
        let here = self.pods.iter().filter(|pod| **pod.namespace() == *namespace);
        here.filter(|pod| pods.matches(pod.labels())).copied().collect()
    }

    /// The pods that a peer of a policy means.
    pub(super) fn peers(&self, policy: &NetworkPolicy, peer: &Peer) -> Vec<&'a Arc<Pod>> {
        let Peer::Pods { namespaces, pods } = peer else { return Vec::new() };
        match namespaces {
            None => self.selected(&policy.namespace, pods),
            Some(selector) => {
                let here = self.namespaces.iter().filter(|namespace| selector.matches(&namespace.labels));
                here.flat_map(|namespace| self.selected(&namespace.name, pods)).collect()
            }
        }
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

/// Where a list of peers is.
pub(super) fn peers_path(direction: PolicyDirection, rule: usize) -> String {
    let list = match direction {
        PolicyDirection::Ingress => "from",
        PolicyDirection::Egress => "to",
    };
    format!("spec.{direction}[{rule}].{list}")
}

pub(super) const DIRECTIONS: [PolicyDirection; 2] = [PolicyDirection::Ingress, PolicyDirection::Egress];
