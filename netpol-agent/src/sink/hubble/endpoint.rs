//! Converts the source or destination of a flow to Hubble's endpoint.
//!
//! Pods have an identity of their own. Nodes, the API server and outside addresses have Cilium's reserved identities.

use std::hash::Hasher as _;

use fnv::FnvHasher;

use super::proto::flow;
use crate::model::{Endpoint, Pod};

/// The cluster's name, as in Cilium without Cluster Mesh.
pub(super) const CLUSTER: &str = "default";

/// The first identity of pods. Lower identities are reserved (Cilium's numeric identities).
const FIRST_POD_IDENTITY: u32 = 256;

/// The end of the identities of pods, exclusive. They have 24 bits in Cilium, too, including the cluster ID.
const END_OF_POD_IDENTITIES: u32 = 1 << 24;

/// Labels that distinguish the pods or the revisions of one workload. They are not part of a pod's identity.
const EXCLUDED_LABELS: [&str; 9] = [
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-completion-index",
    "batch.kubernetes.io/job-name",
    "controller-revision-hash",
    "controller-uid",
    "job-name",
    "pod-template-hash",
    "statefulset.kubernetes.io/pod-name",
];

/// Converts an endpoint. `node` is the name of the agent's own node.
pub(super) fn endpoint(endpoint: &Endpoint, node: &str) -> flow::Endpoint {
    match endpoint {
        Endpoint::Pod(pod) => pod_endpoint(pod),
        Endpoint::Node(name) if **name == *node => reserved(1, &["reserved:host"]),
        Endpoint::Node(_) => reserved(6, &["reserved:remote-node"]),
        Endpoint::ApiServer => reserved(7, &["reserved:kube-apiserver", "reserved:remote-node"]),
        Endpoint::Metadata | Endpoint::World => reserved(2, &["reserved:world"]),
        Endpoint::Service(_) => reserved(0, &["reserved:unknown"]),
    }
}

fn reserved(identity: u32, labels: &[&str]) -> flow::Endpoint {
    flow::Endpoint {
        identity,
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        ..flow::Endpoint::default()
    }
}

fn pod_endpoint(pod: &Pod) -> flow::Endpoint {
    let namespace = pod.namespace().to_string();
    let mut labels: Vec<String> =
        pod.labels().iter().map(|(key, value)| format!("k8s:{key}={value}")).collect();
    labels.push(format!("k8s:io.kubernetes.pod.namespace={namespace}"));
    labels.sort_unstable();
    let workload = |workload: &crate::model::Workload| flow::Workload {
        name: workload.name.to_string(),
        kind: workload.kind.to_string(),
    };
    flow::Endpoint {
        identity: identity(pod),
        namespace,
        labels,
        pod_name: pod.name().to_owned(),
        workloads: pod.workload.as_deref().map(workload).into_iter().collect(),
        cluster_name: CLUSTER.to_owned(),
        ..flow::Endpoint::default()
    }
}

/// The numeric identity of a pod. It depends only on the namespace and the labels, so it is the same on every node and
/// in every run. Clients group flows by it.
fn identity(pod: &Pod) -> u32 {
    // FNV-1a, 64 bits (RFC 9923): simple and stable.
    let mut hasher = FnvHasher::default();
    let mut add = |text: &str| {
        hasher.write(text.as_bytes());
        hasher.write(&[0]);
    };
    add(pod.namespace());
    for (key, value) in pod.labels().iter().filter(|(key, _)| !EXCLUDED_LABELS.contains(key)) {
        add(key);
        add(value);
    }
    let hash = hasher.finish();
    let folded = (hash >> 32) ^ (hash & u64::from(u32::MAX));
    FIRST_POD_IDENTITY
        + u32::try_from(folded % u64::from(END_OF_POD_IDENTITIES - FIRST_POD_IDENTITY)).unwrap_or_default()
}
