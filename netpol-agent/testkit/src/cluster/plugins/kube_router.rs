//! kube-router.

use anyhow::Result;
use serde_json::json;

use super::Site;
use crate::{cluster::component::Component, go::Module};

/// The CNI configuration that kube-router completes with the node's addresses.
const CONFIGURATION: &str = "10-kuberouter.conflist";

/// It routes between the nodes, and enforces policies.
pub(super) fn alone(site: &Site<'_>) -> Result<()> {
    let main = json!({
        "name": "kubernetes", "type": "bridge", "bridge": "kube-bridge", "isDefaultGateway": true,
        "hairpinMode": true, "ipam": { "type": "host-local" },
    });
    let ports = json!({ "type": "portmap", "capabilities": { "portMappings": true } });
    let list = json!({ "cniVersion": "0.3.0", "name": "kubernetes", "plugins": [main, ports] });
    site.configure(CONFIGURATION, &list)?;
    daemon(site)
        .flags([("run-router", "true"), ("routes-sync-period", "10s")])
        .env("KUBE_ROUTER_CNI_CONF_FILE", format!("{}/{CONFIGURATION}", crate::cluster::daemons::CNI))
        .start(site.node)
}

/// It enforces policies, and another plugin does the rest.
pub(super) fn for_policies(site: &Site<'_>) -> Result<()> {
    daemon(site).flag("run-router", "false").start(site.node)
}

fn daemon(site: &Site<'_>) -> Component {
    site.daemon("kube-router", Module::KubeRouter, "kube-router")
        .flag("kubeconfig", site.kubeconfig())
        .flags(site.service_flags())
        .flags([
            ("run-service-proxy", "false"),
            ("run-firewall", "true"),
            ("enable-ipv6", "true"),
            ("hostname-override", &site.node.name()),
            ("v", "1"),
        ])
}
