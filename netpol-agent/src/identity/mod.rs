//! Who was behind an address, at the time.

mod history;

pub use history::{History, Whose};

use std::net::IpAddr;

use crate::{cluster::Snapshot, model::Endpoint};

/// What the snapshot knows of an address.
#[must_use]
pub fn resolve(snapshot: &Snapshot, address: IpAddr) -> Endpoint {
    if let Some(pod) = snapshot.pod_by_ip(address) {
        Endpoint::Pod(pod.clone())
    } else if let Some(node) = snapshot.node_by_ip(address) {
        Endpoint::Node(node.name.clone())
    } else if let Some(service) = snapshot.service_by_ip(address) {
        Endpoint::Service(service.key.clone())
    } else {
        Endpoint::World
    }
}
