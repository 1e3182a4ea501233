//! The veth pairs whose far end is a pod's interface.

use std::{collections::VecDeque, net::IpAddr, sync::Arc, time::Duration};

use hashbrown::{HashMap, HashSet};

use crate::model::Monotonic;

/// The host end of a veth pair whose other end is in another network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodInterface {
    /// Its name in the host's network namespace.
    pub name: Arc<str>,
    /// Addresses of the other end, both families.
    pub addresses: Vec<IpAddr>,
    /// When the programs were attached, nanoseconds of `CLOCK_MONOTONIC`.
    pub attached_at: Monotonic,
    /// When it came, in the same time, where that was while the agent was watching.
    pub created_at: Option<Monotonic>,
}

/// How many of those that are gone are remembered, for connections that are decided after their end.
const REMEMBERED: usize = 1024;

/// How long after the end of an interface its netlink message is read, at most. The time that the event then waits for
/// the agent does not count.
const LATE: Duration = Duration::from_millis(50);

/// The same on a node whose CPUs are overloaded.
const VERY_LATE: Duration = Duration::from_secs(2);

/// What veths tell of when somebody came to have an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssignedAt {
    /// Nothing.
    Unknown,
    /// After a time, in nanoseconds of `CLOCK_MONOTONIC`: the veth at which it was seen came then; or it was seen at none,
    /// and the last one that had the address had gone.
    After(Monotonic),
    /// Before or after the veth that had it before had gone.
    Unclear,
}

/// All of them, by interface index and by address.
#[derive(Debug, Default)]
pub struct PodInterfaces {
    by_index: HashMap<u32, PodInterface>,
    by_address: HashMap<IpAddr, u32>,
    /// With kube-proxy in its IPVS mode, the addresses of all Services are among them.
    host: HashSet<IpAddr>,
    /// Those that went last, oldest first.
    removed: VecDeque<(u32, PodInterface)>,
    /// When the ends of those were heard of that had an address, oldest first.
    left: HashMap<IpAddr, VecDeque<Monotonic>>,
}

impl PodInterfaces {
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
    pub fn get(&self, ifindex: u32) -> Option<&PodInterface> {
        self.by_index.get(&ifindex)
    }

    /// A veth by its interface index, be it one that has gone of late.
    #[must_use]
    pub fn get_or_removed(&self, ifindex: u32) -> Option<&PodInterface> {
        let gone = || self.removed.iter().rfind(|(index, _)| *index == ifindex).map(|(_, veth)| veth);
        self.get(ifindex).or_else(gone)
    }

    /// When who had an address at `at` came to have it, as far as veths tell. `seen_at` is the veth at which that one
    /// was seen; `is_there` says whether there was surely somebody: who sent, or answered.
    #[must_use]
    pub fn taken(&self, address: IpAddr, seen_at: Option<u32>, at: Monotonic, is_there: bool) -> AssignedAt {
        if let Some(veth) = self.home(address, seen_at) {
            return veth.created_at.map_or(AssignedAt::Unknown, AssignedAt::After);
        }
        let Some(ends) = self.left.get(&address) else { return AssignedAt::Unknown };
        // Who was there and was not seen was not behind a veth that was still there.
        let late = if is_there { VERY_LATE } else { LATE };
        if ends.iter().any(|heard| *heard > at && *heard <= at + late) {
            return AssignedAt::Unclear;
        }
        let last = ends.iter().rfind(|heard| **heard <= at);
        last.map_or(AssignedAt::Unknown, |heard| AssignedAt::After(*heard - LATE))
    }

    /// Until when to wait before asking who had an address, for somebody who is surely there: where that one was not seen
    /// at the veth that has it, the veth may have gone, and it would be heard of by then.
    #[must_use]
    pub fn doubtful_until(&self, address: IpAddr, seen_at: Option<u32>, at: Monotonic) -> Option<Monotonic> {
        if self.home(address, seen_at).is_some() {
            return None;
        }
        let owner = self.get(self.owner(address)?)?;
        (owner.attached_at <= at).then_some(at + VERY_LATE)
    }

    /// The veth at which an address was seen, if it may be its own.
    fn home(&self, address: IpAddr, seen_at: Option<u32>) -> Option<&PodInterface> {
        let veth = self.get_or_removed(seen_at?)?;
        // Those of one that has just come are not known yet.
        let may_be =
            veth.addresses.contains(&address) || (veth.addresses.is_empty() && veth.created_at.is_some());
        may_be.then_some(veth)
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
    pub fn attached(&mut self, ifindex: u32, name: Arc<str>, now: Monotonic) {
        let veth = PodInterface { name, addresses: Vec::new(), attached_at: now, created_at: None };
        self.by_index.entry(ifindex).or_insert(veth);
    }

    /// Notes when a veth came that was not there before the agent.
    pub fn created(&mut self, ifindex: u32, at: Monotonic) {
        if let Some(veth) = self.by_index.get_mut(&ifindex) {
            veth.created_at = Some(at);
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
    pub fn removed(&mut self, ifindex: u32, now: Monotonic) {
        let Some(veth) = self.by_index.remove(&ifindex) else { return };
        self.disown(ifindex, &veth.addresses);
        for address in &veth.addresses {
            self.left.entry(*address).or_default().push_back(now);
        }
        self.removed.push_back((ifindex, veth));
        if self.removed.len() > REMEMBERED {
            self.forget();
        }
    }

    /// Forgets the one that went first.
    fn forget(&mut self) {
        for address in self.removed.pop_front().into_iter().flat_map(|(_, veth)| veth.addresses) {
            let Some(ends) = self.left.get_mut(&address) else { continue };
            ends.pop_front();
            if ends.is_empty() {
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
        use AssignedAt::{After, Unclear, Unknown};
        let at = Monotonic::from_secs;
        let address: IpAddr = "10.0.0.1".parse().unwrap();
        let at_veth = |ifindex| Some(ifindex);
        let taken = |interfaces: &PodInterfaces, seen_at, second| {
            interfaces.taken(address, seen_at, at(second), true)
        };
        let mut interfaces = PodInterfaces::default();
        interfaces.attached(1, "old".into(), at(1));
        interfaces.set_addresses(1, vec![address]);
        assert_eq!(taken(&interfaces, at_veth(1), 10), Unknown, "it was there before");
        assert_eq!(taken(&interfaces, None, 10), Unknown, "nobody knows");
        for (seen_at, second, expected) in [(at_veth(1), 10, None), (None, 10, Some(12)), (None, 0, None)] {
            let until = interfaces.doubtful_until(address, seen_at, at(second));
            assert_eq!(until, expected.map(at), "{seen_at:?} {second}");
        }
        interfaces.removed(1, at(20));
        interfaces.attached(2, "new".into(), at(22));
        interfaces.created(2, at(21));
        assert_eq!(taken(&interfaces, at_veth(2), 22), After(at(21)), "at one without addresses yet");
        interfaces.set_addresses(2, vec![address]);
        for (name, seen_at, second, expected) in [
            ("at the old one", at_veth(1), 19, Unknown),
            ("long before the old one's end", None, 17, Unknown),
            ("just before it was heard of", None, 19, Unclear),
            ("after it", None, 20, After(at(20) - LATE)),
            ("at the new one", at_veth(2), 25, After(at(21))),
            ("past the new one", None, 25, After(at(20) - LATE)),
        ] {
            assert_eq!(taken(&interfaces, seen_at, second), expected, "{name}");
        }
        assert_eq!(interfaces.taken(address, None, at(19), false), Unknown, "nobody was there");
        assert_eq!(interfaces.taken(address, None, at(20) - LATE, false), Unclear, "or it had gone");
        assert_eq!(interfaces.doubtful_until(address, None, at(21)), None, "before it was attached");
        assert_eq!(interfaces.doubtful_until(address, None, at(25)), Some(at(27)), "past the new one");
        interfaces.removed(2, at(26));
        assert_eq!(taken(&interfaces, None, 25), Unclear, "which had gone");
        assert_eq!(taken(&interfaces, None, 21), After(at(20) - LATE), "not for those long before");
        for ifindex in 3..2 + u32::try_from(REMEMBERED).unwrap() {
            interfaces.attached(ifindex, "other".into(), Monotonic::ZERO);
            interfaces.removed(ifindex, at(30));
        }
        assert_eq!(taken(&interfaces, None, 21), Unknown, "the first end is forgotten");
        assert_eq!(taken(&interfaces, None, 27), After(at(26) - LATE), "the second is not");
        interfaces.attached(1, "other".into(), Monotonic::ZERO);
        interfaces.removed(1, at(30));
        assert!(interfaces.left.is_empty());
    }

    #[test]
    fn an_address_follows_its_last_owner() {
        let address: IpAddr = "10.0.0.1".parse().unwrap();
        let mut interfaces = PodInterfaces::default();
        interfaces.attached(1, "a".into(), Monotonic::ZERO);
        interfaces.attached(2, "b".into(), Monotonic::ZERO);
        assert_eq!(interfaces.carries(1, address), None, "addresses not known yet");
        interfaces.set_addresses(1, vec![address]);
        interfaces.set_addresses(2, vec![address]);
        interfaces.removed(1, Monotonic::ZERO);
        assert_eq!(interfaces.owner(address), Some(2));
        interfaces.set_addresses(2, vec!["10.0.0.2".parse().unwrap()]);
        assert_eq!(interfaces.owner(address), None);
        assert_eq!(interfaces.carries(2, address), Some(false));
    }
}
