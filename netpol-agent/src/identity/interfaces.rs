//! This node's pod interfaces, and what they show about when an address changed its owner.
//!
//! Packets and interface removals race: the agent may receive a packet's record before or after it learns that the
//! interface was removed. The delays below bound that race.

use std::{collections::VecDeque, net::IpAddr, sync::Arc, time::Duration};

use hashbrown::{HashMap, HashSet};

use super::Addresses;
use crate::model::{Monotonic, Place, Pod};

/// An interface of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodInterface {
    /// The name of its end in the host's network namespace; inside the pod, if it has none there.
    pub name: Arc<str>,
    /// The addresses in the pod, both families, without those that belong to another pod.
    pub addresses: Vec<IpAddr>,
    /// Those of them by which others find the pod: what the API reports.
    owned: Vec<IpAddr>,
    /// All addresses that the interface has in the pod. The pod may have set some of them itself.
    claimed: Vec<IpAddr>,
    /// The pod, once the API has reported it.
    pod: Option<Arc<Pod>>,
    /// Where its packets are seen.
    places: Vec<Place>,
    /// Whether packets to the pod are seen inside the pod, after everything that may stop them.
    pub is_inside: bool,
    /// When the programs were attached.
    pub attached_at: Monotonic,
    /// When the interface was created; `None` if that was before the agent started to watch.
    pub created_at: Option<Monotonic>,
}

/// The number of removed interfaces that are remembered, for connections that are decided after the removal.
const MAX_REMOVED: usize = 1024;

/// How long after its creation an interface may have addresses that are not known. A network plugin sets them within
/// milliseconds.
const NEW_FOR: Duration = Duration::from_secs(5);

/// How long after the removal of an interface its netlink message is read, at most. The time that the event then waits
/// for the agent does not count.
const REPORT_DELAY: Duration = Duration::from_millis(50);

/// The same delay on a node whose CPUs are overloaded.
const OVERLOADED_REPORT_DELAY: Duration = Duration::from_secs(2);

/// What the interfaces show about when an address was assigned to its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssignedAt {
    /// They show nothing.
    Unknown,
    /// The address was assigned after this time. Either the interface at which it was seen was created then; or it was
    /// seen at no interface, and the last interface that had the address was removed then.
    After(Monotonic),
    /// The address was assigned before or after the removal of the interface that had it before; it is not clear which.
    Unclear,
}

/// All pod interfaces, by number and by address.
#[derive(Debug, Default)]
pub struct PodInterfaces {
    by_index: HashMap<u32, PodInterface>,
    /// The numbers, including those of recently removed interfaces.
    by_place: HashMap<Place, u32>,
    by_address: HashMap<IpAddr, u32>,
    /// The addresses of the host's network namespace. With kube-proxy in IPVS mode, all Service addresses are among
    /// them.
    host: HashSet<IpAddr>,
    /// Since when all packets that leave the node are seen; `None` if they are not.
    exits_seen_since: Option<Monotonic>,
    /// The interfaces that were removed last, oldest first.
    removed: VecDeque<(u32, PodInterface)>,
    /// The times at which removals were reported, by the addresses of the interface, oldest first.
    removals: HashMap<IpAddr, VecDeque<Monotonic>>,
}

impl PodInterfaces {
    /// Returns the number of interfaces.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_index.len()
    }

    /// Returns whether there are no interfaces.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_index.is_empty()
    }

    /// Returns the number of the interface that a record names.
    #[must_use]
    pub fn number(&self, place: Place) -> Option<u32> {
        self.by_place.get(&place).copied()
    }

    /// Returns an interface by its index.
    #[must_use]
    pub fn get(&self, ifindex: u32) -> Option<&PodInterface> {
        self.by_index.get(&ifindex)
    }

    /// Returns an interface by its index, including recently removed ones.
    #[must_use]
    pub fn get_or_removed(&self, ifindex: u32) -> Option<&PodInterface> {
        let removed =
            || self.removed.iter().rfind(|(index, _)| *index == ifindex).map(|(_, interface)| interface);
        self.get(ifindex).or_else(removed)
    }

    /// Returns when an address was assigned to the pod that had it at `at`, as far as interfaces show. `seen_at` is the
    /// interface at which the pod's packet was seen. `was_active` is true if a pod surely had the address: it sent or
    /// answered.
    #[must_use]
    pub fn assigned_at(
        &self,
        address: IpAddr,
        seen_at: Option<u32>,
        at: Monotonic,
        was_active: bool,
    ) -> AssignedAt {
        if let Some(interface) = self.interface_seen(address, seen_at) {
            return interface.created_at.map_or(AssignedAt::Unknown, AssignedAt::After);
        }
        let Some(removals) = self.removals.get(&address) else { return AssignedAt::Unknown };
        // An active pod that was seen at no interface was not behind one that still existed.
        let delay = if was_active { OVERLOADED_REPORT_DELAY } else { REPORT_DELAY };
        if removals.iter().any(|removed_at| *removed_at > at && *removed_at <= at + delay) {
            return AssignedAt::Unclear;
        }
        let last = removals.iter().rfind(|removed_at| **removed_at <= at);
        last.map_or(AssignedAt::Unknown, |removed_at| AssignedAt::After(*removed_at - REPORT_DELAY))
    }

    /// Returns until when to wait before resolving the address of an active pod; `None` if there is nothing to wait
    /// for. If the pod was not seen at the interface that has the address, that interface may be removed already, and
    /// the removal is reported by then.
    #[must_use]
    pub fn unclear_until(&self, address: IpAddr, seen_at: Option<u32>, at: Monotonic) -> Option<Monotonic> {
        if self.interface_seen(address, seen_at).is_some() {
            return None;
        }
        let owner = self.get(self.owner(address)?)?;
        (owner.attached_at <= at).then_some(at + OVERLOADED_REPORT_DELAY)
    }

    /// Returns the interface at which an address was seen, if the address may belong to it.
    fn interface_seen(&self, address: IpAddr, seen_at: Option<u32>) -> Option<&PodInterface> {
        let interface = self.get_or_removed(seen_at?)?;
        // The addresses of a new interface are not known yet.
        let may_be = interface.addresses.contains(&address)
            || (interface.addresses.is_empty() && interface.created_at.is_some());
        may_be.then_some(interface)
    }

    /// Returns the index of the interface that has an address.
    #[must_use]
    pub fn owner(&self, address: IpAddr) -> Option<u32> {
        self.by_address.get(&address).copied()
    }

    /// Returns whether an interface has an address; `None` if the interface or its addresses are not known yet.
    #[must_use]
    pub fn carries(&self, ifindex: u32, address: IpAddr) -> Option<bool> {
        let interface = self.by_index.get(&ifindex)?;
        (!interface.addresses.is_empty()).then(|| interface.addresses.contains(&address))
    }

    /// Returns whether an interface has an address, or may have it: the addresses of a new interface are not known at once.
    #[must_use]
    pub fn may_have(&self, number: u32, address: IpAddr, at: Monotonic) -> bool {
        let Some(interface) = self.get_or_removed(number) else { return false };
        let is_new = || interface.created_at.is_some_and(|created_at| at.since(created_at) < NEW_FOR);
        interface.addresses.contains(&address) || (interface.addresses.is_empty() && is_new())
    }

    /// Returns whether all packets that enter the pod of an interface are seen, after everything that may stop them.
    /// Packets before `since` need not have been.
    #[must_use]
    pub fn sees_arrivals(&self, number: u32, since: Monotonic) -> bool {
        self.get_or_removed(number)
            .is_some_and(|interface| interface.is_inside && interface.attached_at <= since)
    }

    /// Returns whether all packets that leave the node have been seen since then.
    #[must_use]
    pub fn sees_exits(&self, since: Monotonic) -> bool {
        self.exits_seen_since.is_some_and(|seen_since| seen_since <= since)
    }

    /// Sets since when all packets that leave the node are seen; `None` if they are not. An earlier time stays.
    pub fn set_exits_seen_since(&mut self, since: Option<Monotonic>) {
        self.exits_seen_since = since.map(|since| self.exits_seen_since.unwrap_or(since));
    }

    /// Returns the addresses of the host's network namespace, including those of the host ends.
    #[must_use]
    pub fn host(&self) -> &HashSet<IpAddr> {
        &self.host
    }

    /// Sets the addresses of the host's network namespace.
    pub fn set_host(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        self.host = addresses.into_iter().collect();
    }

    /// Adds an interface that the programs were attached to. A known interface keeps its addresses.
    pub fn attached(
        &mut self,
        number: u32,
        name: Arc<str>,
        places: Vec<Place>,
        is_inside: bool,
        now: Monotonic,
    ) {
        for place in &places {
            self.by_place.insert(*place, number);
        }
        let interface = PodInterface {
            name,
            addresses: Vec::new(),
            owned: Vec::new(),
            claimed: Vec::new(),
            pod: None,
            places,
            is_inside,
            attached_at: now,
            created_at: None,
        };
        self.by_index.entry(number).or_insert(interface);
    }

    /// Sets when an interface was created. Call it only for interfaces that were created after the agent started.
    pub fn created(&mut self, ifindex: u32, at: Monotonic) {
        if let Some(interface) = self.by_index.get_mut(&ifindex) {
            interface.created_at = Some(at);
        }
    }

    /// Sets the addresses of an interface in its pod. Until [`Self::confine`] is called, the interface has all of them.
    pub fn set_addresses(&mut self, ifindex: u32, addresses: Vec<IpAddr>) {
        if let Some(interface) = self.by_index.get_mut(&ifindex) {
            interface.claimed.clone_from(&addresses);
            self.accept(ifindex, addresses.clone(), addresses);
        }
    }

    /// Takes from all interfaces the addresses that are another pod's: a pod may set any address on its own interface. One that
    /// the API does not know stays its own as a sender, but nobody else's connections to that address are taken for its. The
    /// first address that the API knows to be of a pod of this node shows which pod it is; that stays so. What the API does
    /// not know may be of a new pod.
    pub fn confine(&mut self, reported: &Addresses, node: Option<&str>) {
        let is_on = |node: Option<&str>, pod: &Pod| node.is_none() || pod.node.as_deref() == node;
        // Where no interface is of a pod of this node, the name of the node is wrong.
        let claims = self.by_index.values().flat_map(|interface| &interface.claimed);
        let is_named = claims.filter_map(|address| reported.pod(*address)).any(|pod| is_on(node, pod));
        let node = node.filter(|_| is_named);
        let is_here = |pod: &Pod| !pod.host_network && is_on(node, pod);
        let is_current = |pod: &Pod| {
            let mut holders = pod.ips.iter().filter_map(|ip| reported.pod(*ip));
            holders.any(|holder| holder.uid == pod.uid)
        };
        let mut confined = Vec::new();
        for (ifindex, interface) in &mut self.by_index {
            if !interface.pod.as_deref().is_some_and(is_current) {
                let mut pods = interface.claimed.iter().filter_map(|address| reported.pod(*address));
                interface.pod = pods.find(|pod| is_here(pod)).cloned();
            }
            let pod = interface.pod.as_deref();
            let is_of_pod = |address: &IpAddr| pod.is_some_and(|pod| pod.ips.contains(address));
            let is_nobodys = |address: &IpAddr| reported.pod(*address).is_none();
            let filtered = |keeps: &dyn Fn(&IpAddr) -> bool| -> Vec<IpAddr> {
                interface.claimed.iter().copied().filter(|address| keeps(address)).collect()
            };
            let addresses = filtered(&|address| is_of_pod(address) || is_nobodys(address));
            let owned = filtered(&|address| {
                let may_be_new = pod.is_none() || is_link_local(*address);
                is_of_pod(address) || (may_be_new && is_nobodys(address))
            });
            if addresses != interface.addresses || owned != interface.owned {
                confined.push((*ifindex, addresses, owned));
            }
        }
        for (ifindex, addresses, owned) in confined {
            self.accept(ifindex, addresses, owned);
        }
    }

    fn accept(&mut self, ifindex: u32, addresses: Vec<IpAddr>, owned: Vec<IpAddr>) {
        let Some(interface) = self.by_index.get_mut(&ifindex) else { return };
        interface.addresses = addresses;
        let old = std::mem::replace(&mut interface.owned, owned.clone());
        self.release(ifindex, &old);
        for address in owned {
            self.by_address.insert(address, ifindex);
        }
    }

    /// Removes an interface. It is remembered for a while, see [`Self::get_or_removed`].
    pub fn removed(&mut self, ifindex: u32, now: Monotonic) {
        let Some(interface) = self.by_index.remove(&ifindex) else { return };
        self.release(ifindex, &interface.owned);
        for address in &interface.addresses {
            self.removals.entry(*address).or_default().push_back(now);
        }
        self.removed.push_back((ifindex, interface));
        if self.removed.len() > MAX_REMOVED {
            self.forget();
        }
    }

    /// Forgets the interface that was removed first.
    fn forget(&mut self) {
        let Some((number, interface)) = self.removed.pop_front() else { return };
        for place in interface.places {
            if self.by_place.get(&place) == Some(&number) && !self.by_index.contains_key(&number) {
                self.by_place.remove(&place);
            }
        }
        for address in interface.addresses {
            let Some(removals) = self.removals.get_mut(&address) else { continue };
            removals.pop_front();
            if removals.is_empty() {
                self.removals.remove(&address);
            }
        }
    }

    /// Removes the addresses from an interface. An address that another interface has, too, is that one's then.
    fn release(&mut self, ifindex: u32, addresses: &[IpAddr]) {
        for address in addresses {
            if self.by_address.get(address) != Some(&ifindex) {
                continue;
            }
            self.by_address.remove(address);
            let has_it = |(index, interface): &(&u32, &PodInterface)| {
                **index != ifindex && interface.owned.contains(address)
            };
            if let Some((other, _)) = self.by_index.iter().find(has_it) {
                self.by_address.insert(*address, *other);
            }
        }
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        identity::AddressIndex,
        model::{Labels, PodClass, PodPhase},
    };

    #[test]
    fn when_an_address_was_assigned() {
        use AssignedAt::{After, Unclear, Unknown};
        let at = Monotonic::from_secs;
        let address: IpAddr = "10.0.0.1".parse().unwrap();
        let at_interface = |ifindex| Some(ifindex);
        let assigned_at = |interfaces: &PodInterfaces, seen_at, second| {
            interfaces.assigned_at(address, seen_at, at(second), true)
        };
        let mut interfaces = PodInterfaces::default();
        interfaces.attached(1, "old".into(), Vec::new(), true, at(1));
        interfaces.set_addresses(1, vec![address]);
        assert_eq!(assigned_at(&interfaces, at_interface(1), 10), Unknown, "it existed before the agent");
        assert_eq!(assigned_at(&interfaces, None, 10), Unknown, "seen at no interface");
        for (seen_at, second, expected) in
            [(at_interface(1), 10, None), (None, 10, Some(12)), (None, 0, None)]
        {
            let until = interfaces.unclear_until(address, seen_at, at(second));
            assert_eq!(until, expected.map(at), "{seen_at:?} {second}");
        }
        interfaces.removed(1, at(20));
        interfaces.attached(2, "new".into(), Vec::new(), true, at(22));
        interfaces.created(2, at(21));
        assert_eq!(
            assigned_at(&interfaces, at_interface(2), 22),
            After(at(21)),
            "at an interface without addresses yet"
        );
        interfaces.set_addresses(2, vec![address]);
        for (name, seen_at, second, expected) in [
            ("at the old interface", at_interface(1), 19, Unknown),
            ("long before the removal of the old one", None, 17, Unknown),
            ("just before the removal was reported", None, 19, Unclear),
            ("after the removal", None, 20, After(at(20) - REPORT_DELAY)),
            ("at the new interface", at_interface(2), 25, After(at(21))),
            ("not at the new one", None, 25, After(at(20) - REPORT_DELAY)),
        ] {
            assert_eq!(assigned_at(&interfaces, seen_at, second), expected, "{name}");
        }
        assert_eq!(interfaces.assigned_at(address, None, at(19), false), Unknown, "no pod was active");
        assert_eq!(
            interfaces.assigned_at(address, None, at(20) - REPORT_DELAY, false),
            Unclear,
            "or it was removed"
        );
        assert_eq!(interfaces.unclear_until(address, None, at(21)), None, "before it was attached");
        assert_eq!(interfaces.unclear_until(address, None, at(25)), Some(at(27)), "not at the new one");
        interfaces.removed(2, at(26));
        assert_eq!(assigned_at(&interfaces, None, 25), Unclear, "which was removed");
        assert_eq!(assigned_at(&interfaces, None, 21), After(at(20) - REPORT_DELAY), "not long before");
        for ifindex in 3..2 + u32::try_from(MAX_REMOVED).unwrap() {
            interfaces.attached(ifindex, "other".into(), Vec::new(), true, Monotonic::ZERO);
            interfaces.removed(ifindex, at(30));
        }
        assert_eq!(assigned_at(&interfaces, None, 21), Unknown, "the first removal is forgotten");
        assert_eq!(assigned_at(&interfaces, None, 27), After(at(26) - REPORT_DELAY), "the second is not");
        interfaces.attached(1, "other".into(), Vec::new(), true, Monotonic::ZERO);
        interfaces.removed(1, at(30));
        assert!(interfaces.removals.is_empty());
    }

    /// A pod can set any address on its own interface. It gets no other pod's by that.
    #[test]
    fn addresses_of_others() {
        let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
        let pod = |name: &str, address: &str, node: &str| {
            Arc::new(Pod {
                key: format!("shop/{name}").into(),
                uid: name.into(),
                class: Arc::new(PodClass::new("shop".into(), Labels::default(), Box::default())),
                ips: [ip(address)].into(),
                host_network: false,
                node: Some(node.into()),
                phase: PodPhase::Running,
                workload: None,
                created: None,
                is_ending: false,
            })
        };
        let mut index = AddressIndex::default();
        let thief = pod("thief", "10.0.0.1", "here");
        for pod in [&thief, &pod("victim", "10.0.0.2", "here"), &pod("far", "10.0.0.3", "there")] {
            index.replace_pod(None, Some(pod));
        }
        let mut interfaces = PodInterfaces::default();
        for number in [1, 2, 5] {
            interfaces.attached(number, "veth".into(), Vec::new(), true, Monotonic::ZERO);
        }
        interfaces.set_addresses(2, vec![ip("10.0.0.2")]);
        interfaces
            .set_addresses(1, ["10.0.0.1", "10.0.0.2", "10.0.0.3", "8.8.8.8", "fe80::1"].map(ip).into());
        interfaces.set_addresses(5, vec![ip("10.0.0.5")]);
        interfaces.confine(&index.publish(), Some("here"));
        let owners = |interfaces: &PodInterfaces| {
            ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.5", "8.8.8.8"].map(|text| interfaces.owner(ip(text)))
        };
        assert_eq!(
            owners(&interfaces),
            [Some(1), Some(2), None, Some(5), None],
            "5 is of a pod not reported yet"
        );
        let carried =
            ["10.0.0.1", "10.0.0.2", "10.0.0.3", "8.8.8.8"].map(|text| interfaces.carries(1, ip(text)));
        assert_eq!(carried, [true, false, false, true].map(Some));
        // It gives up its own address, and keeps the other's.
        interfaces.set_addresses(1, vec![ip("10.0.0.2")]);
        interfaces.confine(&index.publish(), Some("here"));
        assert_eq!(owners(&interfaces), [None, Some(2), None, Some(5), None]);
        // It ends, and another pod gets its interface's number and the address that it had.
        index.replace_pod(Some(&thief), Some(&pod("next", "10.0.0.1", "here")));
        interfaces.set_addresses(1, vec![ip("10.0.0.1")]);
        interfaces.confine(&index.publish(), Some("here"));
        assert_eq!(owners(&interfaces), [Some(1), Some(2), None, Some(5), None]);
        // The node's name is wrong: it does not make the agent blind.
        let mut interfaces = PodInterfaces::default();
        interfaces.attached(2, "veth".into(), Vec::new(), true, Monotonic::ZERO);
        interfaces.set_addresses(2, vec![ip("10.0.0.2")]);
        interfaces.confine(&index.publish(), Some("elsewhere"));
        assert_eq!(interfaces.owner(ip("10.0.0.2")), Some(2));
    }

    #[test]
    fn an_address_follows_its_last_owner() {
        let address: IpAddr = "10.0.0.1".parse().unwrap();
        let mut interfaces = PodInterfaces::default();
        interfaces.attached(1, "a".into(), Vec::new(), true, Monotonic::ZERO);
        interfaces.attached(2, "b".into(), Vec::new(), true, Monotonic::ZERO);
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
