//! Cilium. Its agent compiles its eBPF programs on the node.

use std::ffi::OsString;

use anyhow::{Context as _, Result};

use super::Site;
use crate::{cluster::component::Component, command, go::Module};

/// The folders in which Debian has clang and LLVM of the versions that compile Cilium's programs.
const COMPILER: &str = "/usr/lib/llvm-22/bin";

/// How packets get from node to node, and who serves Services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// By VXLAN and the kernel's own routing, beside kube-proxy.
    Legacy,
    /// By VXLAN and eBPF alone, without kube-proxy.
    KubeProxyReplacement,
    /// By the kernel's routes between the nodes, beside kube-proxy.
    Native,
}

pub(super) fn start(site: &Site<'_>, mode: Mode) -> Result<()> {
    prepare(site).with_context(|| format!("preparing {} for Cilium", site.node.name()))?;
    if site.node.number() == 1 {
        operator(site).start(site.node)?;
    }
    // The agent ends as long as the operator has not made the kinds that it needs, and is started again.
    agent(site, mode).start(site.node)
}

/// Cilium's folders, with the sources of its programs.
fn prepare(site: &Site<'_>) -> Result<()> {
    let sources = site.plan.programs.of_plugin(Module::Cilium, "bpf");
    let script = "mkdir -p /run/cilium/cgroupv2 /var/lib/cilium && cp -r \"$1\" /var/lib/cilium/bpf";
    let mut shell = site.node.command("sh");
    command::output(shell.args(["-c", script, "sh"]).arg(sources), "")?;
    site.node.network()?.sysctl("net/ipv4/conf/all/rp_filter", "0")
}

fn operator(site: &Site<'_>) -> Component {
    site.daemon("cilium-operator", Module::Cilium, "cilium-operator")
        .flag("k8s-kubeconfig-path", site.kubeconfig())
        .flags([("ipam", "kubernetes"), ("enable-ipv4", "true"), ("enable-ipv6", "true")])
        .flag("leader-election-lease-duration", "15s")
}

fn agent(site: &Site<'_>, mode: Mode) -> Component {
    let mut path = OsString::from(format!("{COMPILER}:"));
    path.push(site.plan.programs.path());
    let agent = site
        .daemon("cilium-agent", Module::Cilium, "cilium-agent")
        .flag("k8s-kubeconfig-path", site.kubeconfig())
        .flags([
            ("ipam", "kubernetes"),
            ("k8s-require-ipv4-pod-cidr", "true"),
            ("enable-ipv4", "true"),
            ("enable-ipv6", "true"),
            ("enable-l7-proxy", "false"),
            ("enable-ipv4-masquerade", "true"),
            ("enable-ipv6-masquerade", "false"),
            ("cluster-name", "default"),
            ("cluster-id", "0"),
            ("identity-allocation-mode", "crd"),
            ("write-cni-conf-when-ready", "/etc/cni/net.d/05-cilium.conflist"),
            ("cni-exclusive", "false"),
            ("enable-health-checking", "false"),
            ("enable-endpoint-health-checking", "false"),
        ])
        .env("K8S_NODE_NAME", site.node.name())
        .env("PATH", path);
    let [pods4, pods6] = site.plan.addresses.pods();
    match mode {
        Mode::Legacy => agent.flags(TUNNEL).flag("kube-proxy-replacement", "false"),
        Mode::KubeProxyReplacement => agent.flags(TUNNEL).flags([
            ("kube-proxy-replacement", "true"),
            ("enable-bpf-masquerade", "true"),
            ("k8s-api-server-urls", &*site.plan.url()),
            ("devices", "eth0"),
        ]),
        Mode::Native => agent.flags([
            ("routing-mode", "native"),
            ("auto-direct-node-routes", "true"),
            ("ipv4-native-routing-cidr", &*pods4),
            ("ipv6-native-routing-cidr", &*pods6),
            ("kube-proxy-replacement", "false"),
        ]),
    }
}

const TUNNEL: [(&str, &str); 2] = [("routing-mode", "tunnel"), ("tunnel-protocol", "vxlan")];
