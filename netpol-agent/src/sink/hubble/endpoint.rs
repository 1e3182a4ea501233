//! Who is at an end of a flow.

use std::hash::Hasher as _;

use fnv::FnvHasher;

use super::proto::flow;
use crate::model::{Endpoint, Pod};

/// The cluster's name where there is but one.
pub(super) const CLUSTER: &str = "default";

/// Numbers below this one are reserved (Cilium's numeric identities).
const FIRST_OF_PODS: u32 = 256;

/// Those of pods have 24 bits in Cilium, too, cluster included.
const END_OF_PODS: u32 = 1 << 24;

/// Labels that tell apart the pods of one workload, or its revisions: they are no part of what a pod is.
const TELLS_APART: [&str; 9] = [
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

/// An end of a flow, as the agent on `node` sees it.
pub(super) fn endpoint(endpoint: &Endpoint, node: &str) -> flow::Endpoint {
    match endpoint {
        Endpoint::Pod(pod) => of_pod(pod),
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

fn of_pod(pod: &Pod) -> flow::Endpoint {
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

/// The same number for the same namespace and labels, on every node and in every run: clients group by it.
fn identity(pod: &Pod) -> u32 {
    // FNV-1a, 64 bits (RFC 9923): short, and the same for ever.
    let mut hasher = FnvHasher::default();
    let mut add = |text: &str| {
        hasher.write(text.as_bytes());
        hasher.write(&[0]);
    };
    add(pod.namespace());
    for (key, value) in pod.labels().iter().filter(|(key, _)| !TELLS_APART.contains(key)) {
        add(key);
        add(value);
    }
    let hash = hasher.finish();
    let folded = (hash >> 32) ^ (hash & u64::from(u32::MAX));
    FIRST_OF_PODS + u32::try_from(folded % u64::from(END_OF_PODS - FIRST_OF_PODS)).unwrap_or_default()
}
