//! What is known of a connection's addresses before network address translation (NAT).

use std::{net::IpAddr, sync::Arc};

use super::ip_block_set::IpBlockSet;
use crate::{
    cluster::Snapshot,
    model::{Labels, Pod},
};

/// The address that an `ipBlock` may have been compared with, instead of the translated address that is evaluated.
#[derive(Clone, Copy)]
pub(super) enum OriginalAddress<'e> {
    /// No translation: there is no other address.
    None,
    /// The original destination was one of these addresses.
    OfDestination { addresses: &'e [IpAddr] },
    /// The source is a node or outside the cluster. Any other source may be behind it.
    OfSource,
    /// The source is a pod. Its address is usually not translated.
    KeptSource,
}

impl OriginalAddress<'_> {
    pub(super) fn is_translated(self) -> bool {
        !matches!(self, Self::None)
    }

    /// Returns true if the `ipBlock`s may have matched the address before translation.
    pub(super) fn may_hide_match(self, blocks: &IpBlockSet) -> bool {
        match self {
            Self::None | Self::KeptSource => false,
            Self::OfSource => true,
            Self::OfDestination { addresses } => addresses.iter().any(|ip| blocks.contains(*ip)),
        }
    }
}

/// The cluster IPs of all Services that may forward to a pod, or, with `None`, to an endpoint that is not a pod. A
/// Service without a selector may forward to any endpoint.
pub(super) fn service_addresses_of(snapshot: &Snapshot, pod: Option<&Pod>) -> Vec<IpAddr> {
    let selects_pod = |selector: &Labels, namespace: &Arc<str>| {
        pod.is_some_and(|pod| {
            namespace == pod.namespace()
                && selector.iter().all(|(key, value)| pod.labels().get(key) == Some(value))
        })
    };
    let services = snapshot.services().filter(|service| {
        service.selector.as_ref().is_none_or(|selector| selects_pod(selector, &service.namespace))
    });
    services.flat_map(|service| service.cluster_ips.iter().copied()).collect()
}
