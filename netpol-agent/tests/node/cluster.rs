//! A cluster of two nodes, and what runs on it beside the agent.

use std::net::IpAddr;

use aya::programs::{SchedClassifier, TcAttachType};
pub(crate) use netpol_testkit::wait::{PATIENCE, eventually};
use netpol_testkit::{
    cluster::{self, Node, Options, Plugin},
    netns::Namespace,
};
use nix::net::if_::if_nameindex;

/// Two backends of a Service that kubelet probes every second, a client of theirs, a server with a client that no policy
/// is about, and a pod on the other node that nobody may talk to.
const WORKLOADS: &str = include_str!("workloads.yaml");

/// A cluster with pods.
pub(crate) struct Cluster {
    pub(crate) real: cluster::Cluster,
}

impl Cluster {
    pub(crate) fn up(plugin: Plugin) -> Self {
        let real = cluster::Cluster::up(Options::with(plugin)).unwrap();
        // New namespaces take a moment to have their ServiceAccounts, without which pods are rejected.
        eventually("the pods are made", || real.apply(WORKLOADS).is_ok());
        for namespace in ["shop", "steady", "far"] {
            wait_for_pods(&real, namespace);
        }
        Self { real }
    }

    /// The node on which all of this happens, but for the servers that are on the other one.
    pub(crate) fn node(&self) -> &Node {
        &self.real.nodes()[0]
    }

    /// A pod by a label `app`, of the only one that has it.
    pub(crate) fn pod(&self, namespace: &str, app: &str) -> Namespace {
        let name = self.field(namespace, &format!("pods --selector app={app}"), "{.items[0].metadata.name}");
        self.real.pod(namespace, &name).unwrap()
    }

    /// The addresses of all pods with this label `app`.
    pub(crate) fn addresses(&self, namespace: &str, app: &str) -> Vec<IpAddr> {
        let addresses =
            self.field(namespace, &format!("pods --selector app={app}"), "{.items[*].status.podIP}");
        addresses.split(' ').map(|address| address.parse().unwrap()).collect()
    }

    /// A field of what `kubectl get` knows.
    pub(crate) fn field(&self, namespace: &str, what: &str, path: &str) -> String {
        let output = format!("jsonpath={path}");
        let mut args = vec!["get", "--namespace", namespace, "--output", &output];
        args.extend(what.split(' '));
        self.real.kubectl(&args).unwrap()
    }

    /// How many programs are attached to the nodes' interfaces.
    pub(crate) fn attached(&self) -> usize {
        let count = || {
            let interfaces = if_nameindex().unwrap();
            let names = interfaces.iter().map(|interface| interface.name().to_str().unwrap().to_owned());
            let sides = names.flat_map(|name| {
                [TcAttachType::Ingress, TcAttachType::Egress].map(|side| (name.clone(), side))
            });
            // An interface may go between the two looks.
            sides
                .filter_map(|(name, side)| SchedClassifier::query_tcx(&name, side).ok())
                .map(|(_, programs)| programs.len())
                .sum::<usize>()
        };
        self.real.nodes().iter().map(|node| node.network().unwrap().run(count).unwrap()).sum()
    }
}

fn wait_for_pods(cluster: &cluster::Cluster, namespace: &str) {
    let args = ["wait", "--namespace", namespace, "pods", "--all", "--for=condition=Ready", "--timeout=180s"];
    // There may be none yet.
    eventually(&format!("the pods of {namespace} are there"), || {
        let pods = cluster.kubectl(&["get", "pods", "--namespace", namespace, "--output", "name"]).unwrap();
        !pods.is_empty()
    });
    cluster.kubectl(&args).unwrap();
}
