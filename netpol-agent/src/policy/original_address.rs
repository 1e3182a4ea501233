//! What is known of the addresses that a connection had before it was translated.

use std::{net::IpAddr, sync::Arc};

use super::ip_block_set::IpBlockSet;
use crate::{
    cluster::Snapshot,
    model::{Labels, Pod},
};

/// What an address range may have seen in place of the address that is judged.
#[derive(Clone, Copy)]
pub(super) enum OriginalAddress<'e> {
    /// Nothing else.
    None,
    /// The destination was one of these.
    OfDestination { addresses: &'e [IpAddr] },
    /// The source is a node or outside, and may stand for any other.
    OfSource,
    /// The source is a pod. Its address reaches the destination as it is, as a rule.
    KeptSource,
}

impl OriginalAddress<'_> {
    pub(super) fn took_place(self) -> bool {
        !matches!(self, Self::None)
    }

    /// Whether the ranges may have matched the address before translation.
    pub(super) fn may_hide_match(self, blocks: &IpBlockSet) -> bool {
        match self {
            Self::None | Self::KeptSource => false,
            Self::OfSource => true,
            Self::OfDestination { addresses } => addresses.iter().any(|ip| blocks.contains(*ip)),
        }
    }
}

/// The cluster addresses of all Services that select a pod. A Service that selects nothing may lead to any pod, and to
/// what is no pod.
pub(super) fn addresses_before(snapshot: &Snapshot, pod: Option<&Pod>) -> Vec<IpAddr> {
    let leads_there = |selector: &Labels, namespace: &Arc<str>| {
        pod.is_some_and(|pod| {
            namespace == pod.namespace()
                && selector.iter().all(|(key, value)| pod.labels().get(key) == Some(value))
        })
    };
    let services = snapshot.services().filter(|service| {
        service.selector.as_ref().is_none_or(|selector| leads_there(selector, &service.namespace))
    });
    services.flat_map(|service| service.cluster_ips.iter().copied()).collect()
}
