//! Who has which address.

use std::{cmp::Ordering, collections::HashMap, hash::Hash, net::IpAddr, sync::Arc};

use crate::model::{Node, PersistentMap, Pod, Protocol, Service, SocketAddress};

/// Something that has addresses of a kind.
pub(super) trait Addressed<A>: PartialEq {
    /// The addresses by which it can be known.
    fn addresses(&self) -> impl Iterator<Item = A>;

    /// Of two that claim one address, the greater has it.
    fn claim(&self, other: &Self) -> Ordering;
}

impl Addressed<IpAddr> for Pod {
    /// A host-network pod's are its node's, and a finished pod's may be another's by now.
    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.ips.iter().copied().filter(|_| self.is_member())
    }

    /// The newer: an address is given again once its pod is gone, and the news of that can come late.
    fn claim(&self, other: &Self) -> Ordering {
        (self.created, &self.key).cmp(&(other.created, &other.key))
    }
}

impl Addressed<IpAddr> for Node {
    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.ips.iter().copied()
    }

    fn claim(&self, other: &Self) -> Ordering {
        self.name.cmp(&other.name)
    }
}

impl Addressed<IpAddr> for Service {
    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.ips.iter().copied()
    }

    fn claim(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

/// Several Services may share the address of a load balancer, each with ports of its own.
impl Addressed<(Protocol, SocketAddress)> for Service {
    fn addresses(&self) -> impl Iterator<Item = (Protocol, SocketAddress)> {
        let at = |address| {
            self.ports.iter().map(move |port| (port.protocol, SocketAddress { address, port: port.port }))
        };
        self.ips.iter().copied().flat_map(at)
    }

    fn claim(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

/// Who has which address; the answer does not depend on the order in which claims came.
#[derive(Debug)]
pub(super) struct IpIndex<A, T> {
    holders: PersistentMap<A, Arc<T>>,
    /// All claims on the addresses that have more than one.
    contested: HashMap<A, Vec<Arc<T>>>,
}

impl<A, T> Default for IpIndex<A, T> {
    fn default() -> Self {
        Self { holders: PersistentMap::default(), contested: HashMap::new() }
    }
}

impl<A: Copy + Eq + Hash, T: Addressed<A>> IpIndex<A, T> {
    pub(super) fn holders(&self) -> &PersistentMap<A, Arc<T>> {
        &self.holders
    }

    pub(super) fn add(&mut self, claimant: &Arc<T>) {
        for address in claimant.addresses() {
            if let Some(holder) = self.holders.get(&address) {
                let claims = self.contested.entry(address).or_insert_with(|| vec![holder.clone()]);
                claims.push(claimant.clone());
                self.settle(address);
            } else {
                self.holders.insert(address, claimant.clone());
            }
        }
    }

    pub(super) fn remove(&mut self, claimant: &Arc<T>) {
        for address in claimant.addresses() {
            if let Some(claims) = self.contested.get_mut(&address) {
                claims.retain(|claim| claim != claimant);
                self.settle(address);
            } else if self.holders.get(&address).is_some_and(|holder| holder == claimant) {
                self.holders.remove(&address);
            }
        }
    }

    fn settle(&mut self, address: A) {
        let Some(claims) = self.contested.get(&address) else { return };
        if let Some(winner) = claims.iter().max_by(|a, b| a.claim(b)) {
            self.holders.insert(address, winner.clone());
        }
        if claims.len() < 2 {
            self.contested.remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::object::{ServicePort, TargetPort};

    /// Objects that claim ports of one address, one of them twice: whoever is taken out, no port stays behind.
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
        let mut book = IpIndex::<(Protocol, SocketAddress), Service>::default();
        services.iter().for_each(|service| book.add(service));
        let at = |port| (Protocol::Tcp, SocketAddress { address: "192.0.2.7".parse().unwrap(), port });
        let holder =
            |book: &IpIndex<_, Service>, port| book.holders().get(&at(port)).map(|s| s.key.to_string());
        for (port, expected) in [(80, "a"), (443, "b"), (53, "c")] {
            assert_eq!(holder(&book, port).as_deref(), Some(expected), "{port}");
        }
        let [a, b, c] = &services;
        book.remove(a);
        assert_eq!((holder(&book, 80), holder(&book, 443).as_deref()), (None, Some("b")));
        book.remove(b);
        book.remove(c);
        assert!(book.holders().is_empty());
    }
}
