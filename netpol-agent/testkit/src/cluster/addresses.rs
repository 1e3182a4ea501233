//! The addresses of a cluster: a part of 10.128.0.0/9 and of fd6e:6574:8000::/33 that no other cluster or lab has.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The CIDRs of the Services' cluster IPs.
pub const SERVICES: [&str; 2] = ["10.96.0.0/16", "fd00:96::/112"];

/// The first node's place in the network between the nodes. The places below belong to the gateway and the machine.
const FIRST_NODE: u16 = 10;

/// The addresses of the cluster with this index ([`Block::index`](crate::netns::Block::index)).
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses(pub(super) u16);

impl Addresses {
    /// The addresses of a node. The first one is 1.
    pub(super) fn node(self, number: usize) -> [IpAddr; 2] {
        self.lan(FIRST_NODE + number as u16)
    }

    /// The addresses of the nodes' default gateway, a host that is in no cluster.
    pub(super) fn gateway(self) -> [IpAddr; 2] {
        self.lan(1)
    }

    /// The addresses of the machine.
    pub(super) fn machine(self) -> [IpAddr; 2] {
        self.lan(2)
    }

    /// The CIDRs of all pods' addresses. Of these, each node gets a /24 and a /64.
    pub(super) fn pods(self) -> [String; 2] {
        [format!("{}/21", self.v4(2048)), format!("{}/56", self.v6(0, 0))]
    }

    /// An address of each family in the network between the nodes.
    fn lan(self, host: u16) -> [IpAddr; 2] {
        [self.v4(host).into(), self.v6(0xffff, host).into()]
    }

    fn v4(self, host: u16) -> Ipv4Addr {
        let base = u32::from(Ipv4Addr::new(10, 128, 0, 0));
        Ipv4Addr::from(base + (u32::from(self.0) << 12) + u32::from(host))
    }

    fn v6(self, net: u16, host: u16) -> Ipv6Addr {
        Ipv6Addr::new(0xfd6e, 0x6574, 0x8000 | self.0, net, 0, 0, 0, host)
    }
}

/// An address with the prefix length of the network between the nodes.
pub(super) fn with_prefix(address: IpAddr) -> String {
    format!("{address}/{}", if address.is_ipv4() { 24 } else { 64 })
}
