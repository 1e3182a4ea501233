//! The CNI project's own plugins. The nodes have routes to each other's pods.

use anyhow::Result;
use serde_json::{Value, json};

use super::Site;

/// The veth pairs of all pods are on a bridge.
pub(super) fn on_a_bridge(site: &Site<'_>) -> Result<()> {
    configure(site, json!({ "type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true }))
}

/// Each pod is on a veth pair to which the node routes.
pub(super) fn ptp(site: &Site<'_>) -> Result<()> {
    configure(site, json!({ "type": "ptp" }))
}

fn configure(site: &Site<'_>, mut main: Value) -> Result<()> {
    let ranges = site.pods.each_ref().map(|pods| [json!({ "subnet": pods })]);
    main["ipam"] = json!({
        "type": "host-local",
        "ranges": ranges,
        "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }],
    });
    let ports = json!({ "type": "portmap", "capabilities": { "portMappings": true } });
    let list = json!({ "cniVersion": "1.0.0", "name": "netpol", "plugins": [main, ports] });
    site.configure("10-netpol.conflist", &list)
}
