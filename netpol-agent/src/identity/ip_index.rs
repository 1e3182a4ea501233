//! An index from addresses to the objects that own them.

use std::{cmp::Ordering, collections::HashMap, hash::Hash, net::IpAddr, sync::Arc};

use crate::model::{Node, PersistentMap, Pod, Protocol, Service, SocketAddress};

/// An object that has addresses of type `A`.
pub(super) trait Addressed<A>: PartialEq {
    /// Returns the addresses of the object.
    fn addresses(&self) -> impl Iterator<Item = A>;

    /// Compares two objects that have the same address: the greater one owns it.
    fn precedence(&self, other: &Self) -> Ordering;
}

impl Addressed<IpAddr> for Pod {
    /// Returns none for a host-network pod, whose addresses are its node's, and none for a finished pod, whose
    /// addresses may be reused.
    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.ips.iter().copied().filter(|_| self.is_member())
    }

    /// The newer pod owns the address. An address is reused after its pod was deleted, and the deletion may be reported
    /// late.
    fn precedence(&self, other: &Self) -> Ordering {
        (self.created, &self.key).cmp(&(other.created, &other.key))
    }
}

impl Addressed<IpAddr> for Node {
    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.ips.iter().copied()
    }

    fn precedence(&self, other: &Self) -> Ordering {
        self.name.cmp(&other.name)
    }
}

impl Addressed<IpAddr> for Service {
    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.ips.iter().copied()
    }

    fn precedence(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

/// Several Services may share the address of a load balancer, each with different ports.
impl Addressed<(Protocol, SocketAddress)> for Service {
    fn addresses(&self) -> impl Iterator<Item = (Protocol, SocketAddress)> {
        let at = |address| {
            self.ports.iter().map(move |port| (port.protocol, SocketAddress { address, port: port.port }))
        };
        self.ips.iter().copied().flat_map(at)
    }

    fn precedence(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

/// An index from addresses to their owners. The result does not depend on the order in which objects are added.
#[derive(Debug)]
pub(super) struct IpIndex<A, T> {
    holders: PersistentMap<A, Arc<T>>,
    /// All objects that have an address, for addresses with more than one.
    shared: HashMap<A, Vec<Arc<T>>>,
}

impl<A, T> Default for IpIndex<A, T> {
    fn default() -> Self {
        Self { holders: PersistentMap::default(), shared: HashMap::new() }
    }
}

impl<A: Copy + Eq + Hash, T: Addressed<A>> IpIndex<A, T> {
    pub(super) fn holders(&self) -> &PersistentMap<A, Arc<T>> {
        &self.holders
    }

    pub(super) fn add(&mut self, owner: &Arc<T>) {
        for address in owner.addresses() {
            if let Some(holder) = self.holders.get(&address) {
                let owners = self.shared.entry(address).or_insert_with(|| vec![holder.clone()]);
                owners.push(owner.clone());
                self.update_owner(address);
            } else {
                self.holders.insert(address, owner.clone());
            }
        }
    }

    pub(super) fn remove(&mut self, owner: &Arc<T>) {
        for address in owner.addresses() {
            if let Some(owners) = self.shared.get_mut(&address) {
                owners.retain(|other| other != owner);
                self.update_owner(address);
            } else if self.holders.get(&address).is_some_and(|holder| holder == owner) {
                self.holders.remove(&address);
            }
        }
    }

    fn update_owner(&mut self, address: A) {
        let Some(owners) = self.shared.get(&address) else { return };
        if let Some(winner) = owners.iter().max_by(|a, b| a.precedence(b)) {
            self.holders.insert(address, winner.clone());
        }
        if owners.len() < 2 {
            self.shared.remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::object::{ServicePort, TargetPort};

    /// Several Services share an address, one of them with a port twice. After a removal, none of its ports is left.
    #[test]
    fn shared_addresses() {
        let service = |name: &str, ports: &[u16]| {
            let port = |number: &u16| ServicePort {
                name: None,
                port: *number,
                node_port: None,
                protocol: Protocol::Tcp,
                target: TargetPort::Number(*number),
            };
            Arc::new(Service {
                key: name.into(),
                namespace: "shop".into(),
                ips: ["192.0.2.7".parse().unwrap()].into(),
                cluster_ips: Box::default(),
                is_choosy: false,
                exposure: crate::model::object::Exposure::Inside,
                is_headless: false,
                selector: None,
                ports: ports.iter().map(port).collect(),
            })
        };
        let services = [service("a", &[80, 443]), service("b", &[443, 443]), service("c", &[53])];
        let mut index = IpIndex::<(Protocol, SocketAddress), Service>::default();
        services.iter().for_each(|service| index.add(service));
        let at = |port| (Protocol::Tcp, SocketAddress { address: "192.0.2.7".parse().unwrap(), port });
        let holder =
            |index: &IpIndex<_, Service>, port| index.holders().get(&at(port)).map(|s| s.key.to_string());
        for (port, expected) in [(80, "a"), (443, "b"), (53, "c")] {
            assert_eq!(holder(&index, port).as_deref(), Some(expected), "{port}");
        }
        let [a, b, c] = &services;
        index.remove(a);
        assert_eq!((holder(&index, 80), holder(&index, 443).as_deref()), (None, Some("b")));
        index.remove(b);
        index.remove(c);
        assert!(index.holders().is_empty());
    }
}
