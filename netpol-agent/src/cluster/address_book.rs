//! Who has which address.

use std::{cmp::Ordering, collections::HashMap, net::IpAddr, sync::Arc};

use super::map::Map;
use crate::model::{Node, Pod, Service};

/// Something that has addresses.
pub(super) trait Addressed: PartialEq {
    /// The addresses by which it can be known.
    fn addresses(&self) -> &[IpAddr];

    /// Of two that claim one address, the greater has it.
    fn claim(&self, other: &Self) -> Ordering;
}

impl Addressed for Pod {
    /// A host-network pod's are its node's, and a finished pod's may be another's by now.
    fn addresses(&self) -> &[IpAddr] {
        if self.is_member() { &self.ips } else { &[] }
    }

    /// The newer: an address is given again once its pod is gone, and the news of that can come late.
    fn claim(&self, other: &Self) -> Ordering {
        (self.created, &self.key).cmp(&(other.created, &other.key))
    }
}

impl Addressed for Node {
    fn addresses(&self) -> &[IpAddr] {
        &self.ips
    }

    fn claim(&self, other: &Self) -> Ordering {
        self.name.cmp(&other.name)
    }
}

impl Addressed for Service {
    fn addresses(&self) -> &[IpAddr] {
        &self.ips
    }

    fn claim(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

/// Who has which address; the answer does not depend on the order in which claims came.
#[derive(Debug)]
pub(super) struct AddressBook<T> {
    holders: Map<IpAddr, Arc<T>>,
    /// All claims on the addresses that have more than one.
    contested: HashMap<IpAddr, Vec<Arc<T>>>,
}

impl<T: Addressed> AddressBook<T> {
    pub(super) fn new() -> Self {
        Self { holders: Map::default(), contested: HashMap::new() }
    }

    pub(super) fn holders(&self) -> &Map<IpAddr, Arc<T>> {
        &self.holders
    }

    pub(super) fn add(&mut self, claimant: &Arc<T>) {
        for ip in claimant.addresses() {
            if let Some(holder) = self.holders.get(ip) {
                let claims = self.contested.entry(*ip).or_insert_with(|| vec![holder.clone()]);
                claims.push(claimant.clone());
                self.settle(*ip);
            } else {
                self.holders.insert(*ip, claimant.clone());
            }
        }
    }

    pub(super) fn remove(&mut self, claimant: &Arc<T>) {
        for ip in claimant.addresses() {
            if let Some(claims) = self.contested.get_mut(ip) {
                claims.retain(|claim| claim != claimant);
                self.settle(*ip);
            } else if self.holders.get(ip).is_some_and(|holder| holder == claimant) {
                self.holders.remove(ip);
            }
        }
    }

    fn settle(&mut self, ip: IpAddr) {
        let Some(claims) = self.contested.get(&ip) else { return };
        if let Some(winner) = claims.iter().max_by(|a, b| a.claim(b)) {
            self.holders.insert(ip, winner.clone());
        }
        if claims.len() < 2 {
            self.contested.remove(&ip);
        }
    }
}
