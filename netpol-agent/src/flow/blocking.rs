//! Evidence that an attempt was, or may have been, kept from its destination.

use crate::model::{DropHook, DropReasons, KernelDrop, Monotonic, Observed};

/// The network namespace in which a packet was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DropPlace {
    /// The host's network namespace, where enforcers act.
    Host,
    /// Another network namespace. A drop there is the pod's own.
    Pod,
    /// The network namespace is not known.
    Unknown,
}

/// A refusal of the connection, and its kind by who sent it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) observed: Observed,
    pub(super) at: Monotonic,
}

/// A drop by an enforcer.
#[derive(Clone, Copy, Debug)]
pub(super) struct EnforcerDrop {
    pub(super) reason: u32,
    pub(super) hook: DropHook,
    pub(super) reply: bool,
    pub(super) began: Monotonic,
}

/// Evidence that an attempt was, or may have been, kept from its destination. Few attempts have any.
#[derive(Debug, Default)]
pub(super) struct BlockingEvidence {
    pub(super) refusal: Option<Refusal>,
    pub(super) dropped: Option<EnforcerDrop>,
    pub(super) drops: u32,
    pub(super) other_drop: Option<u32>,
    /// Whether an opening packet was dropped outside of a pod. Then it may not have been delivered, although it was
    /// seen at the end of the destination's interface that is on the node.
    pub(super) dropped_outside_pod: bool,
    pub(super) spoof_candidate: Option<u32>,
}

impl BlockingEvidence {
    /// Adds a refusal. The pod's own says more than one by somebody else; otherwise the first counts.
    pub(super) fn refused(&mut self, observed: Observed, at: Monotonic) {
        let refusal = self.refusal.get_or_insert(Refusal { observed, at });
        if observed == Observed::Refused {
            refusal.observed = observed;
        }
    }

    /// Adds a drop of the opening packet or, with `reply`, of the answer to it.
    pub(super) fn dropped(
        &mut self,
        drop: &KernelDrop,
        place: DropPlace,
        reply: bool,
        reasons: &DropReasons,
    ) {
        self.drops = self.drops.saturating_add(drop.count);
        let hook = reasons.hook(drop.reason).filter(|_| place == DropPlace::Host);
        let Some(hook) = hook else {
            self.other_drop = Some(drop.reason);
            self.dropped_outside_pod |= place != DropPlace::Pod && !reply;
            return;
        };
        // A packet filter that rejects a packet sends the reset first, and then drops the packet.
        if let Some(refusal) = &mut self.refusal
            && refusal.observed == Observed::Reset
        {
            refusal.observed = Observed::Rejected;
        }
        let this = EnforcerDrop { reason: drop.reason, hook, reply, began: drop.time };
        let known = self.dropped.get_or_insert(this);
        // That the answer was dropped says more: the opening packet got there.
        if reply && !known.reply {
            *known = EnforcerDrop { began: known.began, ..this };
        }
    }
}
