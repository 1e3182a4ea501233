//! What is known of the addresses that a connection had before it was translated.

use super::blocks::Blocks;
use crate::{cluster::Snapshot, model::Pod};

/// What an address range may have seen in place of the address that is judged.
#[derive(Clone, Copy)]
pub(super) enum Translation<'e> {
    /// Nothing else.
    None,
    /// The destination was a Service's address; this pod is behind it, if it is one.
    OfDestination { snapshot: &'e Snapshot, pod: Option<&'e Pod> },
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
            Self::OfDestination { snapshot, pod } => snapshot.services().any(|service| {
                let behind = match (&service.selector, pod) {
                    (Some(selector), Some(pod)) => {
                        service.namespace == *pod.namespace()
                            && selector.iter().all(|(key, value)| pod.labels().get(key) == Some(value))
                    }
                    (Some(_), None) => false,
                    (None, _) => true,
                };
                behind && service.ips.iter().any(|ip| blocks.contains(*ip))
            }),
        }
    }
}
