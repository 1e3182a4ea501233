//! The network of a node and its pods: the CNI configuration, and the link to the machine.

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde_json::{Value, json};

use super::spaces::Spaces;
use crate::{command, netns::Block};

/// The CIDR of the Services' cluster IPs.
pub(super) const SERVICES: &str = "10.96.0.0/16";

/// The CNI plugin that connects the pods. None of them enforces NetworkPolicies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Cni {
    /// Each pod is on a veth pair to which the node routes.
    #[default]
    Ptp,
    /// The veth pairs of all pods are on a bridge.
    Bridge,
}

impl Cni {
    /// The plugins' configuration, as a `.conflist` file.
    pub(super) fn configuration(self, pods: &str) -> Value {
        let ipam = json!({
            "type": "host-local",
            "ranges": [[{ "subnet": pods }]],
            "routes": [{ "dst": "0.0.0.0/0" }],
        });
        let main = match self {
            Self::Ptp => json!({ "type": "ptp", "ipam": ipam }),
            Self::Bridge => json!({
                "type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipam": ipam,
            }),
        };
        let ports = json!({ "type": "portmap", "capabilities": { "portMappings": true } });
        json!({ "cniVersion": "0.3.1", "name": "netpol", "plugins": [main, ports] })
    }
}

/// Connects the node to the machine by a veth pair. `outer` is the machine's end. There is no route to other networks.
pub(super) fn link(spaces: &Spaces, block: &Block, outer: &str) -> Result<()> {
    spaces.link(outer)?;
    let machine = format!("address add {}/30 dev {outer}\nlink set {outer} up\n", block.machine4());
    command::run("ip", &["-batch", "-"], &machine).context("the machine's end of the node's link")?;
    // Packets from the node itself to a Service need a route before kube-proxy's rules process them.
    let node = format!(
        "link set lo up\naddress add {}/30 dev eth0\nlink set eth0 up\nroute add {SERVICES} dev eth0\n",
        block.node4()
    );
    let inside = spaces.network()?;
    inside.ip(&node).context("the node's end of its link")?;
    inside.sysctl("net/ipv4/ip_forward", "1")
}
