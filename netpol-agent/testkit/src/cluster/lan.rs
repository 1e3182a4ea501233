//! The network between the nodes: a bridge in a namespace of its own, which is also the nodes' default gateway and leads
//! nowhere. There, addresses outside of the cluster are.

use std::{fmt::Write as _, fs, net::IpAddr, path::Path, process};

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use super::{
    addresses::{Addresses, with_prefix},
    node::Node,
};
use crate::netns::Namespace;

/// The kind of the nodes' uplinks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Uplink {
    /// A veth pair, as kind, k3d and minikube have it.
    #[default]
    Veth,
    /// A macvlan interface, which is the nearest to a network card.
    Macvlan,
}

/// The network between the nodes.
#[derive(Debug)]
pub(super) struct Lan {
    namespace: Namespace,
}

impl Lan {
    /// Opens the namespace that the supervisor has made for the cluster in `folder`. `None` while there is none.
    pub(super) fn of(folder: &Path) -> Option<Self> {
        let id = fs::read_to_string(folder.join("lan")).ok()?;
        let namespace = Namespace::open(Path::new(&format!("/proc/{}/ns/net", id.trim()))).ok()?;
        Some(Self { namespace })
    }

    pub(super) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Makes the bridge with the gateway's addresses, and a veth pair to the machine, whose end has the name `outer`.
    pub(super) fn make(&self, addresses: Addresses, uplink: Uplink, outer: &str) -> Result<()> {
        let mut lines = "link set lo up\nlink add lan type bridge\nlink set lan up\n".to_owned();
        let gateway = match uplink {
            Uplink::Veth => "lan",
            Uplink::Macvlan => {
                lines += "link add gateway link lan type macvlan mode bridge\nlink set gateway up\n";
                "gateway"
            }
        };
        for address in addresses.gateway() {
            lines += &address_line(address, gateway);
        }
        let machine = process::id();
        writeln!(lines, "link add machine type veth peer name {outer} netns {machine}")?;
        lines += "link set machine master lan\nlink set machine up\n";
        self.namespace.ip(&lines).context("the network between the nodes")?;
        let mut lines = String::new();
        for address in addresses.machine() {
            lines += &address_line(address, outer);
        }
        writeln!(lines, "link set {outer} up")?;
        crate::command::run("ip", &["-batch", "-"], &lines).context("the machine's end of its link")?;
        Ok(())
    }

    /// Makes a node's uplink `eth0`, with its addresses and its default routes.
    pub(super) fn link(&self, addresses: Addresses, uplink: Uplink, node: &Node) -> Result<()> {
        let (name, init) = (node.name(), node.spaces().init());
        let lines = match uplink {
            Uplink::Veth => format!(
                "link add {name} type veth peer name eth0 netns {init}\nlink set {name} master lan\nlink set {name} up\n"
            ),
            Uplink::Macvlan => format!(
                "link add {name} link lan type macvlan mode bridge\nlink set {name} netns {init} name eth0\n"
            ),
        };
        self.namespace.ip(&lines).with_context(|| format!("the uplink of {name}"))?;
        let mut lines = "link set eth0 up\n".to_owned();
        for address in node.addresses() {
            lines += &address_line(address, "eth0");
        }
        for gateway in addresses.gateway() {
            writeln!(lines, "route add default via {gateway}")?;
        }
        let inside = node.network()?;
        inside.ip(&lines).with_context(|| format!("{name}'s end of its uplink"))?;
        inside.sysctl("net/ipv4/ip_forward", "1")?;
        inside.sysctl("net/ipv6/conf/all/forwarding", "1")
    }

    /// Routes the pods of a node to it, so that they can be answered from here.
    pub(super) fn route(&self, node: &Node, pods: &[String; 2]) -> Result<()> {
        let mut lines = String::new();
        for (pods, address) in pods.iter().zip(node.addresses()) {
            writeln!(lines, "route add {pods} via {address}")?;
        }
        self.namespace.ip(&lines).with_context(|| format!("the routes to the pods of {}", node.name()))?;
        Ok(())
    }
}

fn address_line(address: IpAddr, device: &str) -> String {
    let detection = if address.is_ipv6() { " nodad" } else { "" };
    format!("address add {} dev {device}{detection}\n", with_prefix(address))
}
