//! Where the programs are attached to see a pod's packets.

use std::sync::Arc;

use crate::kernel::NetworkNamespace;

/// The side of an interface on which a program sees packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Packets that the interface receives.
    Ingress,
    /// Packets that the interface sends.
    Egress,
}

/// One side of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// The network namespace of the interface; `None` for the node's own.
    pub namespace: Option<Arc<NetworkNamespace>>,
    /// Index of the interface in that namespace.
    pub ifindex: u32,
    /// The side.
    pub side: Side,
}

/// The two hooks at which all packets of a pod's interface are seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hooks {
    /// Where the pod's packets are seen.
    pub from_pod: Hook,
    /// Where packets to the pod are seen.
    pub to_pod: Hook,
}

impl Hooks {
    /// Returns the hooks at the end of a pair that is on the node.
    #[must_use]
    pub fn at_host_end(ifindex: u32) -> Self {
        let hook = |side| Hook { namespace: None, ifindex, side };
        Self { from_pod: hook(Side::Ingress), to_pod: hook(Side::Egress) }
    }

    /// Returns the hooks at the interface inside the pod.
    pub(super) fn inside(namespace: &Arc<NetworkNamespace>, ifindex: u32) -> Self {
        let hook = |side| Hook { namespace: Some(Arc::clone(namespace)), ifindex, side };
        Self { from_pod: hook(Side::Egress), to_pod: hook(Side::Ingress) }
    }

    /// Returns whether packets to the pod are seen inside the pod, after everything that may stop them.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        self.to_pod.namespace.is_some()
    }
}
