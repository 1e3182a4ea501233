//! Allocates blocks of addresses: no two labs or nodes on the machine have the same block.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    os::{
        fd::OwnedFd,
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
    process,
};

use anyhow::{Context as _, Result, bail};

/// The number of labs that can exist on a machine at the same time: the number of /20 networks in 10.128.0.0/9.
const BLOCKS: u16 = 2048;

/// Addresses below this one belong to the node.
const FIRST_POD: u16 = 16;

/// The address block of a lab or a node: a part of 10.128.0.0/9 and of fd6e:6574:706f::/48, and for hosts outside the
/// cluster a part of 198.18.0.0/15 and 2001:db8::/32.
#[derive(Debug)]
pub(crate) struct Block {
    index: u16,
    /// A socket that is bound to an abstract name for `index`. The kernel frees it when the process ends, at the
    /// latest.
    claim: UnixDatagram,
}

impl Block {
    pub(super) const PODS: u16 = 4000;
    pub(super) const OUTSIDERS: u16 = 60;

    /// Claims the first free block. The search begins at a different block in each process.
    pub(crate) fn claim() -> Result<Self> {
        let start = process::id() % u32::from(BLOCKS);
        for offset in 0..BLOCKS {
            let index = (start as u16 + offset) % BLOCKS;
            let name = SocketAddr::from_abstract_name(format!("netpol-lab-{index}"))
                .context("naming the lab's address block")?;
            if let Ok(claim) = UnixDatagram::bind_addr(&name) {
                return Ok(Self { index, claim });
            }
        }
        bail!("all {BLOCKS} address blocks are taken: too many labs run on this machine");
    }

    /// The number of the block. It is unique on this machine as long as the block is claimed.
    pub(crate) fn index(&self) -> u16 {
        self.index
    }

    /// Another reference to the claim, for an owner that exists longer.
    pub(crate) fn share(&self) -> Result<OwnedFd> {
        let claim = self.claim.try_clone().context("sharing the claim of an address block")?;
        Ok(claim.into())
    }

    /// The node's address. It is the gateway of every pod.
    pub(super) fn node4(&self) -> Ipv4Addr {
        self.inside4(1)
    }

    /// The node's IPv6 address. It is the gateway of every pod.
    pub(super) fn node6(&self) -> Ipv6Addr {
        self.inside6(1)
    }

    /// The pods' IPv4 addresses, as a CIDR.
    pub(super) fn cidr4(&self) -> String {
        format!("{}/20", self.inside4(0))
    }

    /// The pods' IPv6 addresses, as a CIDR.
    pub(super) fn cidr6(&self) -> String {
        format!("{}/64", self.inside6(0))
    }

    /// The address of the pod with this serial number.
    pub(super) fn pod4(&self, serial: u16) -> Ipv4Addr {
        self.inside4(FIRST_POD + serial)
    }

    /// The IPv6 address of the pod with this serial number.
    pub(super) fn pod6(&self, serial: u16) -> Ipv6Addr {
        self.inside6(FIRST_POD + serial)
    }

    /// The address of the outsider with this serial number: from the range for benchmarks (RFC 2544).
    pub(super) fn outside4(&self, serial: u16) -> Ipv4Addr {
        let base = u32::from(Ipv4Addr::new(198, 18, 0, 0));
        Ipv4Addr::from(base + (u32::from(self.index) << 6) + 1 + u32::from(serial))
    }

    /// The IPv6 address of the outsider with this serial number: from the range for documentation (RFC 3849).
    pub(super) fn outside6(&self, serial: u16) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, self.index, 0, 0, 0, 0, 1 + serial)
    }

    fn inside4(&self, host: u16) -> Ipv4Addr {
        let base = u32::from(Ipv4Addr::new(10, 128, 0, 0));
        Ipv4Addr::from(base + (u32::from(self.index) << 12) + u32::from(host))
    }

    fn inside6(&self, host: u16) -> Ipv6Addr {
        Ipv6Addr::new(0xfd6e, 0x6574, 0x706f, self.index, 0, 0, 0, host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_do_not_overlap() {
        let one = Block::claim().unwrap();
        let two = Block::claim().unwrap();
        assert_ne!(one.index(), two.index());
        for (a, b) in [(&one, &two), (&two, &one)] {
            assert!(a.pod4(Block::PODS) < a.inside4(4095));
            assert!(a.index() > b.index() || a.pod4(Block::PODS) < b.node4());
            assert!(a.index() > b.index() || a.outside4(Block::OUTSIDERS) < b.outside4(0));
        }
    }
}
