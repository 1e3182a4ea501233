//! The network plugins, and how each is started on a node.

mod bridge;
mod cilium;
mod flannel;
mod kube_network_policies;
mod kube_router;

use std::fs;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde_json::Value;

use super::{
    addresses::SERVICES,
    component::Component,
    daemons::{CNI, Plan},
    node::Node,
};
use crate::go::Module;

/// A network plugin: who connects the pods, and who enforces policies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Plugin {
    /// The CNI project's `bridge`, with routes between the nodes: enforces nothing
    #[default]
    Bridge,
    /// The CNI project's `ptp`, with routes between the nodes: enforces nothing
    Ptp,
    /// flannel over VXLAN: enforces nothing
    Flannel,
    /// What k3s runs: flannel, and kube-router for the policies
    K3s,
    /// kube-router: routes by BGP, policies by iptables and ipset
    KubeRouter,
    /// flannel, and kube-network-policies
    KubeNetworkPolicies,
    /// Cilium over VXLAN, beside kube-proxy, with the kernel's routing on the host
    Cilium,
    /// Cilium in the place of kube-proxy, with its own routing on the host
    CiliumKubeProxyReplacement,
    /// Cilium without tunnels, beside kube-proxy
    CiliumNative,
}

/// Who serves Services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Proxy {
    /// kube-proxy with iptables
    #[default]
    Iptables,
    /// kube-proxy with nftables
    Nftables,
    /// Nobody but the plugin
    None,
}

/// A node on which a plugin is started.
pub(super) struct Site<'a> {
    pub(super) plan: &'a Plan,
    pub(super) node: &'a Node,
    /// The CIDRs of the node's pods, of IPv4 and IPv6.
    pub(super) pods: &'a [String; 2],
}

impl Plugin {
    /// The Go modules of which the plugin consists, beside the CNI project's plugins.
    pub fn modules(self) -> &'static [Module] {
        match self {
            Self::Bridge | Self::Ptp => &[],
            Self::Flannel => &[Module::Flannel, Module::FlannelCni],
            Self::K3s => &[Module::Flannel, Module::FlannelCni, Module::KubeRouter],
            Self::KubeRouter => &[Module::KubeRouter],
            Self::KubeNetworkPolicies => &[Module::Flannel, Module::FlannelCni, Module::KubeNetworkPolicies],
            Self::Cilium | Self::CiliumKubeProxyReplacement | Self::CiliumNative => &[Module::Cilium],
        }
    }

    /// The one who serves Services with this plugin, if another is asked for.
    pub(super) fn proxy(self, asked: Proxy) -> Proxy {
        if self == Self::CiliumKubeProxyReplacement { Proxy::None } else { asked }
    }

    /// Returns true if the nodes route to each other's pods without the plugin's help.
    pub(super) fn needs_routes(self) -> bool {
        matches!(self, Self::Bridge | Self::Ptp)
    }

    /// Starts the plugin on a node.
    pub(super) fn start(self, site: &Site<'_>) -> Result<()> {
        match self {
            Self::Bridge => bridge::on_a_bridge(site),
            Self::Ptp => bridge::ptp(site),
            Self::Flannel => flannel::start(site),
            Self::K3s => {
                flannel::start(site)?;
                kube_router::for_policies(site)
            }
            Self::KubeRouter => kube_router::alone(site),
            Self::KubeNetworkPolicies => {
                flannel::start(site)?;
                kube_network_policies::start(site)
            }
            Self::Cilium => cilium::start(site, cilium::Mode::Legacy),
            Self::CiliumKubeProxyReplacement => cilium::start(site, cilium::Mode::KubeProxyReplacement),
            Self::CiliumNative => cilium::start(site, cilium::Mode::Native),
        }
    }
}

impl Site<'_> {
    /// Creates a daemon for a program of the plugin. It is started again when it ends.
    fn daemon(&self, name: &'static str, module: Module, program: &str) -> Component {
        Component::new(name, self.plan.programs.of_plugin(module, program)).restarting()
    }

    /// The path of the plugin's kubeconfig, which has all permissions.
    fn kubeconfig(&self) -> std::path::PathBuf {
        self.plan.credentials().kubeconfig("plugin")
    }

    /// The CIDRs of the Services of both families, each as a flag.
    fn service_flags(&self) -> [(&'static str, &'static str); 2] {
        SERVICES.map(|range| ("service-cluster-ip-range", range))
    }

    /// Writes the CNI configuration of the node, as a `.conflist` file. kubelet then takes the node for Ready.
    fn configure(&self, name: &str, configuration: &Value) -> Result<()> {
        let path = self.node.spaces().path(CNI).join(name);
        fs::write(&path, configuration.to_string()).with_context(|| format!("writing {}", path.display()))
    }
}
