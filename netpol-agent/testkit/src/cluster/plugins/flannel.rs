//! flannel, with VXLAN between the nodes.

use anyhow::Result;
use serde_json::json;

use super::Site;
use crate::{cluster::daemons::write, go::Module};

pub(super) fn start(site: &Site<'_>) -> Result<()> {
    let [pods4, pods6] = site.plan.addresses.pods();
    let network = json!({
        "Network": pods4, "EnableIPv6": true, "IPv6Network": pods6, "Backend": { "Type": "vxlan" },
    });
    let network = write(site.node.folder(), "flannel.json", &network.to_string())?;
    site.daemon("flannel", Module::Flannel, "flanneld")
        .arg("--kube-subnet-mgr")
        .flag("kubeconfig-file", site.kubeconfig())
        .flag("net-config-path", network)
        .flags([("iface", "eth0"), ("ip-masq", "true")])
        .env("NODE_NAME", site.node.name())
        .start(site.node)?;
    let main = json!({ "type": "flannel", "delegate": { "hairpinMode": true, "isDefaultGateway": true } });
    let ports = json!({ "type": "portmap", "capabilities": { "portMappings": true } });
    let list = json!({ "cniVersion": "0.3.1", "name": "cbr0", "plugins": [main, ports] });
    site.configure("10-flannel.conflist", &list)
}
