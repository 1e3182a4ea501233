//! The veth pairs whose far end is a pod's interface.

use std::{collections::VecDeque, net::IpAddr, sync::Arc};

use hashbrown::{HashMap, HashSet};

/// The host end of a veth pair whose other end is in another network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Veth {
    /// Its name in the host's network namespace.
    pub name: Arc<str>,
    /// Addresses of the other end, both families.
    pub addresses: Vec<IpAddr>,
    /// When the programs were attached, nanoseconds of `CLOCK_MONOTONIC`.
    pub attached_ns: u64,
    /// When it came, in the same time, where that was while the agent was watching.
    pub born_ns: Option<u64>,
}

/// How many of those that are gone are remembered, for connections that are decided after their end.
const REMEMBERED: usize = 1024;

/// How much later than it happened the end of a veth may be heard of, in nanoseconds.
const LATE: u64 = 50_000_000;

/// All of them, by interface index and by address.
#[derive(Debug, Default)]
pub struct Veths {
    by_index: HashMap<u32, Veth>,
    by_address: HashMap<IpAddr, u32>,
    /// With kube-proxy in its IPVS mode, the addresses of all Services are among them.
    host: HashSet<IpAddr>,
    /// Those that went last, oldest first.
    gone: VecDeque<(u32, Veth)>,
    /// When the last of those that had an address went.
    left: HashMap<IpAddr, u64>,
}

impl Veths {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_index.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_index.is_empty()
    }

    /// A veth by its interface index.
    #[must_use]
    pub fn get(&self, ifindex: u32) -> Option<&Veth> {
        self.by_index.get(&ifindex)
    }

    /// A veth by its interface index, be it one that has gone of late.
    #[must_use]
    pub fn get_or_gone(&self, ifindex: u32) -> Option<&Veth> {
        let gone = || self.gone.iter().rfind(|(index, _)| *index == ifindex).map(|(_, veth)| veth);
        self.get(ifindex).or_else(gone)
    }

    /// After which time who had an address at `at_ns` came to have it, as far as veths tell: the one that it was seen at
    /// came then; or it was seen at none, and the last one that had it went then.
    #[must_use]
    pub fn taken_after(&self, address: IpAddr, seen_at: Option<u32>, at_ns: u64) -> Option<u64> {
        let veth = seen_at.and_then(|ifindex| self.get_or_gone(ifindex));
        match veth.filter(|veth| veth.addresses.contains(&address)) {
            Some(veth) => veth.born_ns,
            None => self.left.get(&address).copied().filter(|left| *left <= at_ns),
        }
    }

    /// The interface behind which an address lives.
    #[must_use]
    pub fn owner(&self, address: IpAddr) -> Option<u32> {
        self.by_address.get(&address).copied()
    }

    /// Whether the interface at this veth carries the address; `None` for an unknown veth, or one whose addresses
    /// are not known yet.
    #[must_use]
    pub fn carries(&self, ifindex: u32, address: IpAddr) -> Option<bool> {
        let veth = self.by_index.get(&ifindex)?;
        (!veth.addresses.is_empty()).then(|| veth.addresses.contains(&address))
    }

    /// The addresses of the host's network namespace itself, those of the host ends among them.
    #[must_use]
    pub fn host(&self) -> &HashSet<IpAddr> {
        &self.host
    }

    /// Sets the addresses of the host's network namespace.
    pub fn set_host(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        self.host = addresses.into_iter().collect();
    }

    /// Adds a veth that the programs were attached to; one that is known already keeps its addresses.
    pub fn attached(&mut self, ifindex: u32, name: Arc<str>, now_ns: u64) {
        let veth = Veth { name, addresses: Vec::new(), attached_ns: now_ns, born_ns: None };
        self.by_index.entry(ifindex).or_insert(veth);
    }

    /// Notes when a veth came that was not there before the agent.
    pub fn born(&mut self, ifindex: u32, at_ns: u64) {
        if let Some(veth) = self.by_index.get_mut(&ifindex) {
            veth.born_ns = Some(at_ns);
        }
    }

    /// Sets the addresses of a veth's other end.
    pub fn set_addresses(&mut self, ifindex: u32, addresses: Vec<IpAddr>) {
        let Some(veth) = self.by_index.get_mut(&ifindex) else { return };
        let old = std::mem::replace(&mut veth.addresses, addresses.clone());
        self.disown(ifindex, &old);
        for address in addresses {
            self.by_address.insert(address, ifindex);
        }
    }

    /// Forgets a veth that is gone, by and by.
    pub fn gone(&mut self, ifindex: u32, now_ns: u64) {
        let Some(veth) = self.by_index.remove(&ifindex) else { return };
        self.disown(ifindex, &veth.addresses);
        self.left.extend(veth.addresses.iter().map(|address| (*address, now_ns.saturating_sub(LATE))));
        self.gone.push_back((ifindex, veth));
        if self.gone.len() <= REMEMBERED {
            return;
        }
        for address in self.gone.pop_front().into_iter().flat_map(|(_, veth)| veth.addresses) {
            if !self.gone.iter().any(|(_, other)| other.addresses.contains(&address)) {
                self.left.remove(&address);
            }
        }
    }

    /// An address may have passed to another veth in the meantime: that one keeps it.
    fn disown(&mut self, ifindex: u32, addresses: &[IpAddr]) {
        for address in addresses {
            if self.by_address.get(address) == Some(&ifindex) {
                self.by_address.remove(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_an_address_was_taken() {
        let address: IpAddr = "10.0.0.1".parse().unwrap();
        let mut veths = Veths::default();
        veths.attached(1, "old".into(), 0);
        veths.set_addresses(1, vec![address]);
        assert_eq!(veths.taken_after(address, Some(1), 50 * LATE), None, "it was there before");
        assert_eq!(veths.taken_after(address, None, 50 * LATE), None, "nobody knows");
        veths.gone(1, 10 * LATE);
        assert_eq!(veths.taken_after(address, Some(1), 8 * LATE), None, "at the old one");
        assert_eq!(veths.taken_after(address, None, 8 * LATE), None, "before the old one's end");
        assert_eq!(veths.taken_after(address, None, 11 * LATE), Some(9 * LATE), "before the new one");
        veths.attached(2, "new".into(), 12 * LATE);
        veths.born(2, 12 * LATE);
        assert_eq!(
            veths.taken_after(address, Some(2), 11 * LATE),
            Some(9 * LATE),
            "at one without addresses yet"
        );
        veths.set_addresses(2, vec![address]);
        assert_eq!(veths.taken_after(address, Some(2), 13 * LATE), Some(12 * LATE), "at the new one");
        for ifindex in 3..3 + u32::try_from(REMEMBERED).unwrap() {
            veths.attached(ifindex, "other".into(), 0);
            veths.gone(ifindex, 20 * LATE);
        }
        assert_eq!(veths.taken_after(address, None, 50 * LATE), None, "forgotten");
    }

    #[test]
    fn an_address_follows_its_last_owner() {
        let address: IpAddr = "10.0.0.1".parse().unwrap();
        let mut veths = Veths::default();
        veths.attached(1, "a".into(), 0);
        veths.attached(2, "b".into(), 0);
        assert_eq!(veths.carries(1, address), None, "addresses not known yet");
        veths.set_addresses(1, vec![address]);
        veths.set_addresses(2, vec![address]);
        veths.gone(1, 0);
        assert_eq!(veths.owner(address), Some(2));
        veths.set_addresses(2, vec!["10.0.0.2".parse().unwrap()]);
        assert_eq!(veths.owner(address), None);
        assert_eq!(veths.carries(2, address), Some(false));
    }
}
