//! kube-network-policies, which asks for each connection's verdict by nftables and NFQUEUE. On a kernel without
//! nft_queue it enforces nothing.

use std::fs;

use anyhow::{Context as _, Result};

use super::Site;
use crate::go::Module;

/// Where a pod finds the credentials of its ServiceAccount. There are no others for this program.
const ACCOUNT: &str = "/run/secrets/kubernetes.io/serviceaccount";

pub(super) fn start(site: &Site<'_>) -> Result<()> {
    let folder = site.node.spaces().path(ACCOUNT);
    let credentials = site.plan.credentials();
    let write = |name: &str, text: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    };
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let authority = credentials.serving().join("apiserver.crt");
    let text = fs::read(&authority).with_context(|| format!("reading {}", authority.display()))?;
    write("ca.crt", &text)?;
    write("token", credentials.token("plugin")?.as_bytes())?;
    let [control, _] = site.plan.addresses.node(1);
    site.daemon("kube-network-policies", Module::KubeNetworkPolicies, "kube-network-policies")
        .flags([("hostname-override", &*site.node.name()), ("v", "2")])
        .arg("-disable-nri")
        .env("KUBERNETES_SERVICE_HOST", control.to_string())
        .env("KUBERNETES_SERVICE_PORT", "6443")
        .start(site.node)
}
