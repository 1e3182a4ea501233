//! How a node and its pods are wired.

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde_json::{Value, json};

use super::spaces::Spaces;
use crate::{command, netns::Block};

/// Where the addresses of Services come from.
pub(super) const SERVICES: &str = "10.96.0.0/16";

/// The CNI plugin that wires the pods. Neither knows of NetworkPolicies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Cni {
    /// Each pod on a veth pair that the node routes to.
    #[default]
    Ptp,
    /// All pods' veth pairs on a bridge.
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

/// Links the node to the machine by a veth pair, `outer` being the machine's end. No route leads further.
pub(super) fn link(spaces: &Spaces, block: &Block, outer: &str) -> Result<()> {
    spaces.link(outer)?;
    let machine = format!("address add {}/30 dev {outer}\nlink set {outer} up\n", block.machine4());
    command::run("ip", &["-batch", "-"], &machine).context("the machine's end of the node's link")?;
    // What the node itself sends to a Service needs some route before kube-proxy's rules come to see it.
    let node = format!(
        "link set lo up\naddress add {}/30 dev eth0\nlink set eth0 up\nroute add {SERVICES} dev eth0\n",
        block.node4()
    );
    let inside = spaces.network()?;
    inside.ip(&node).context("the node's end of its link")?;
    inside.sysctl("net/ipv4/ip_forward", "1")
}
