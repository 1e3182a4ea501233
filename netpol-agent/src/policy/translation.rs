//! What is known of the addresses that a connection had before it was translated.

use std::{net::IpAddr, sync::Arc};

use super::blocks::Blocks;
use crate::{
    cluster::Snapshot,
    model::{Labels, Pod},
};

/// What an address range may have seen in place of the address that is judged.
#[derive(Clone, Copy)]
pub(super) enum Translation<'e> {
    /// Nothing else.
    None,
    /// The destination was one of these.
    OfDestination { addresses: &'e [IpAddr] },
    /// The source is a node or outside, and may stand for any other.
    OfSource,
    /// The source is a pod. Its address reaches the destination as it is, as a rule.
    KeptSource,
}

impl Translation<'_> {
    pub(super) fn took_place(self) -> bool {
        !matches!(self, Self::None)
    }

    /// Whether the ranges may have matched the address before translation.
    pub(super) fn may_hide_match(self, blocks: &Blocks) -> bool {
        match self {
            Self::None | Self::KeptSource => false,
            Self::OfSource => true,
            Self::OfDestination { addresses } => addresses.iter().any(|ip| blocks.contains(*ip)),
        }
    }
}

/// All addresses that lead to a pod by way of a Service: those of the Services that select it, and the nodes' where
/// these have a port there. A Service that selects nothing may lead to any pod, and to what is no pod.
pub(super) fn addresses_before(snapshot: &Snapshot, pod: Option<&Pod>) -> Vec<IpAddr> {
    let leads_there = |selector: &Labels, namespace: &Arc<str>| {
        pod.is_some_and(|pod| {
            namespace == pod.namespace()
                && selector.iter().all(|(key, value)| pod.labels().get(key) == Some(value))
        })
    };
    let mut addresses = Vec::new();
    let mut on_nodes = false;
    for service in snapshot.services() {
        if service.selector.as_ref().is_none_or(|selector| leads_there(selector, &service.namespace)) {
            addresses.extend(service.ips.iter().copied());
            on_nodes |= service.ports.iter().any(|port| port.node_port.is_some());
        }
    }
    if on_nodes {
        addresses.extend(snapshot.nodes().flat_map(|node| node.ips.iter().copied()));
    }
    addresses
}
