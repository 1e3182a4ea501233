//! A node with the agent's image, and what runs on it beside the agent.

use std::net::IpAddr;

use aya::programs::{SchedClassifier, TcAttachType};
pub(crate) use netpol_testkit::wait::{PATIENCE, eventually};
use netpol_testkit::{
    netns::Namespace,
    node::{Cni, Node},
};
use nix::net::if_::if_nameindex;

/// Two backends of a Service that kubelet probes twice a second, a client of theirs, and a server with a client that
/// no policy is about.
const WORKLOADS: &str = include_str!("workloads.yaml");

/// A node with pods.
pub(crate) struct Cluster {
    pub(crate) node: Node,
}

impl Cluster {
    pub(crate) fn up(cni: Cni) -> Self {
        let node = Node::up(cni).unwrap();
        node.apply(WORKLOADS).unwrap();
        for namespace in ["shop", "steady"] {
            wait_for_pods(&node, namespace);
        }
        Self { node }
    }

    /// A pod by a label `app`, of the only one that has it.
    pub(crate) fn pod(&self, namespace: &str, app: &str) -> Namespace {
        let name = self.field(namespace, &format!("pods --selector app={app}"), "{.items[0].metadata.name}");
        self.node.pod(namespace, &name).unwrap()
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
        self.node.kubectl(&args).unwrap()
    }

    /// How many programs are attached to the node's interfaces.
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
                .sum()
        };
        self.node.network().unwrap().run(count).unwrap()
    }
}

fn wait_for_pods(node: &Node, namespace: &str) {
    let args = ["wait", "--namespace", namespace, "pods", "--all", "--for=condition=Ready", "--timeout=180s"];
    // There may be none yet.
    eventually(&format!("the pods of {namespace} are there"), || {
        let pods = node.kubectl(&["get", "pods", "--namespace", namespace, "--output", "name"]).unwrap();
        !pods.is_empty()
    });
    node.kubectl(&args).unwrap();
}
