//! The addresses of the host's own interfaces. The node's own packets have them as their source.

use std::{collections::BTreeSet, net::IpAddr};

use netlink_packet_route::address::{AddressAttribute, AddressMessage};

/// Kept by interface index: with the CNI plugin `ptp`, all interfaces on the host have the same address.
#[derive(Debug, Default)]
pub(super) struct HostAddresses {
    by_interface: BTreeSet<(u32, IpAddr)>,
}

impl HostAddresses {
    /// Adds the address of a message; returns whether the host did not have it before.
    pub(super) fn add(&mut self, message: &AddressMessage) -> bool {
        let Some(address) = own_address(message) else { return false };
        let is_new = !self.contains(address);
        self.by_interface.insert((message.header.index, address));
        is_new
    }

    /// Removes the address of a message; returns whether no interface has it any more.
    pub(super) fn remove(&mut self, message: &AddressMessage) -> bool {
        let Some(address) = own_address(message) else { return false };
        self.by_interface.remove(&(message.header.index, address)) && !self.contains(address)
    }

    /// All addresses, each once.
    pub(super) fn all(&self) -> Vec<IpAddr> {
        let addresses: BTreeSet<_> = self.by_interface.iter().map(|(_, address)| *address).collect();
        addresses.into_iter().collect()
    }

    fn contains(&self, address: IpAddr) -> bool {
        self.by_interface.iter().any(|(_, known)| *known == address)
    }
}

/// The interface's own address. It is `IFA_LOCAL` if there is one: on a point-to-point link, `IFA_ADDRESS` is the
/// address of the other side (rtnetlink(7)).
pub(in crate::kernel) fn own_address(message: &AddressMessage) -> Option<IpAddr> {
    let mut address = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(local) => return Some(*local),
            AddressAttribute::Address(value) => address = Some(*value),
            _ => {}
        }
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(index: u32, address: &str) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header.index = index;
        message.attributes = vec![AddressAttribute::Local(address.parse().unwrap())];
        message
    }

    #[test]
    fn an_address_of_two_interfaces() {
        let (one, two) = (message(1, "10.0.0.1"), message(2, "10.0.0.1"));
        let mut host = HostAddresses::default();
        assert_eq!((host.add(&one), host.add(&one), host.add(&two)), (true, false, false));
        assert_eq!(host.all().len(), 1);
        assert_eq!((host.remove(&one), host.remove(&one), host.remove(&two)), (false, false, true));
        assert!(host.all().is_empty());
    }

    #[test]
    fn local_before_address() {
        let mut message = AddressMessage::default();
        let (ours, theirs) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        message.attributes = vec![AddressAttribute::Address(theirs), AddressAttribute::Local(ours)];
        assert_eq!(own_address(&message), Some(ours));
        message.attributes = vec![AddressAttribute::Address(theirs)];
        assert_eq!(own_address(&message), Some(theirs));
    }
}
