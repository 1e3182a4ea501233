//! One entry of the flow table: the evidence about one attempt, and its result.

use std::time::Duration;

use crate::{
    identity::PodInterfaces,
    model::{
        Attempt, Direction, DropHook, DropReasons, IcmpError, IcmpKind, KernelDrop, Monotonic, Observed,
        Packet, PacketKind, Protocol, Tuple,
    },
};

use super::{Limits, losses::Losses, nat::NatMapping};

/// The time from a reset or ICMP error that came from elsewhere to the decision. If a packet filter of this node sent
/// it, the drop of the opening packet is reported within this time.
pub(super) const RESET_WAIT: Duration = Duration::from_millis(250);

/// The maximum time from an opening packet at its sender's interface to its translated form elsewhere on the node. It
/// usually takes microseconds, unless a program outside the kernel decides on it. The time is short so that packets
/// that are similar by chance are not matched.
const MAX_TRANSLATION_DELAY: Duration = Duration::from_secs(1);

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
struct Refusal {
    observed: Observed,
    at: Monotonic,
}

/// A drop by an enforcer.
#[derive(Clone, Copy, Debug)]
struct EnforcerDrop {
    reason: u32,
    hook: DropHook,
    reply: bool,
    began: Monotonic,
}

/// Evidence that an attempt was, or may have been, kept from its destination. Few attempts have any.
#[derive(Debug, Default)]
struct BlockingEvidence {
    refusal: Option<Refusal>,
    dropped: Option<EnforcerDrop>,
    drops: u32,
    other_drop: Option<u32>,
    /// Whether an opening packet was dropped outside of a pod. Then it may not have been delivered, although it was
    /// seen at the destination's interface.
    dropped_outside_pod: bool,
    spoof_candidate: Option<u32>,
}

/// The entry of one attempt. Its key in the table is the tuple from the opener to the destination.
#[derive(Debug)]
pub(super) struct Entry {
    /// Distinguishes this attempt from an earlier one with the same tuple. `None` for datagrams, and for connections
    /// that were open before the agent started.
    pub(super) number: Option<u32>,
    pub(super) last_seen: Monotonic,
    /// When the table checks the entry next. Only the queue's item with this time is valid.
    pub(super) scheduled_at: Monotonic,
    /// The result, once it is decided.
    pub(super) decided: Option<Observed>,
    /// Whether the connection has ended. Only late packets may follow.
    pub(super) closed: bool,
    /// Whether another attempt uses the tuple from now on: no further evidence about this one will be seen.
    pub(super) superseded: bool,
    began: Monotonic,
    retransmissions: u16,
    source_interface: Option<u32>,
    destination_interface: Option<u32>,
    pre_existing: bool,
    is_recheck: bool,
    /// Whether the answer came out of the destination pod.
    accepted: bool,
    /// Whether the answer entered the source pod.
    accept_received: bool,
    blocking: Option<Box<BlockingEvidence>>,
    translation: Option<Box<NatMapping>>,
}

impl Entry {
    pub(super) fn new(number: Option<u32>, now: Monotonic) -> Self {
        Self {
            number,
            last_seen: now,
            scheduled_at: Monotonic::ZERO,
            decided: None,
            closed: false,
            superseded: false,
            began: now,
            retransmissions: 0,
            source_interface: None,
            destination_interface: None,
            pre_existing: false,
            is_recheck: false,
            accepted: false,
            accept_received: false,
            blocking: None,
            translation: None,
        }
    }

    /// Creates an entry for a connection that was open before the agent observed it.
    pub(super) fn pre_existing(now: Monotonic) -> Self {
        Self { pre_existing: true, ..Self::new(None, now) }
    }

    /// Returns whether the attempt is due to be re-evaluated.
    pub(super) fn needs_recheck(&self, now: Monotonic, limits: &Limits) -> bool {
        self.decided.is_some() && !self.pre_existing && now >= self.began + limits.renew
    }

    /// Starts a re-evaluation with the same tuple. If the attempt was not stopped before, it is a recheck: an enforcer
    /// may let an open connection continue, whatever the current policies are.
    pub(super) fn renew(&mut self, now: Monotonic) {
        *self = Self {
            is_recheck: !matches!(self.decided, Some(Observed::Dropped { .. } | Observed::Rejected)),
            scheduled_at: self.scheduled_at,
            translation: self.translation.take(),
            ..Self::new(self.number, now)
        };
    }

    /// Returns the address translation, if one was seen.
    pub(super) fn translation(&self) -> Option<&NatMapping> {
        self.translation.as_deref()
    }

    /// Returns whether a packet beyond the opener's interface may be a translated packet of this attempt. The attempt's
    /// destination must be unknown so far. If records were lost, the record of that packet's real sender may be among
    /// them, so the answer is no.
    pub(super) fn may_be_translated(&self, protocol: Protocol, now: Monotonic, losses: &Losses) -> bool {
        self.translation.is_none()
            && self.decided.is_none()
            && now.since(self.last_seen) < MAX_TRANSLATION_DELAY
            && self.source_interface.is_some()
            && self.destination_interface.is_none()
            && !losses.may_touch(protocol, self.began)
    }

    /// Records an address translation.
    pub(super) fn translated(&mut self, translation: NatMapping) {
        self.translation = Some(Box::new(translation));
    }

    /// Processes the opening packet, or another datagram of the opener, at an interface.
    pub(super) fn opened(&mut self, tuple: &Tuple, packet: &Packet, interfaces: &PodInterfaces) {
        let Packet { ifindex, direction, .. } = *packet;
        // A packet that is seen at both interfaces is not a retransmission at the second one.
        let first_place = direction == Direction::FromPod || self.source_interface.is_none();
        let (place, address) = match direction {
            Direction::FromPod => (&mut self.source_interface, tuple.source.address),
            Direction::ToPod => (&mut self.destination_interface, tuple.destination.address),
        };
        if interfaces.carries(ifindex, address) == Some(false) {
            // The packet entered an interface that does not have the destination: a node's uplink. Or it came out of
            // one that does not have the source: an uplink again, or a pod that spoofs. A packet that the pod itself
            // has sent is neither.
            if direction == Direction::FromPod && self.source_interface.is_none() {
                self.blocking.get_or_insert_default().spoof_candidate = Some(ifindex);
            }
            return;
        }
        match place {
            None => *place = Some(ifindex),
            Some(_) if first_place => {
                self.retransmissions = self.retransmissions.saturating_add(1);
            }
            Some(_) => {}
        }
    }

    /// Returns whether the whole attempt may be spoofed: its opening packet came out of another pod than the one that
    /// has the source address, and was not seen out of that one.
    pub(super) fn is_forged(&self, tuple: &Tuple, interfaces: &PodInterfaces) -> bool {
        self.source_interface.is_none()
            && self.spoof_candidate().is_some_and(|foreign| {
                interfaces.owner(tuple.source.address).is_some_and(|owner| owner != foreign)
            })
    }

    /// Processes the answer at an interface. `tuple` is the attempt's.
    pub(super) fn answered(&mut self, tuple: &Tuple, packet: &Packet, interfaces: &PodInterfaces) {
        match packet.direction {
            Direction::FromPod => {
                if interfaces.carries(packet.ifindex, tuple.destination.address) != Some(false) {
                    self.accepted = true;
                    // Packets may bypass the pod's host-side interface on their way into the pod (`bpf_redirect_peer`,
                    // Linux 5.10).
                    self.destination_interface.get_or_insert(packet.ifindex);
                }
            }
            Direction::ToPod => {
                self.accept_received |=
                    interfaces.carries(packet.ifindex, tuple.source.address) != Some(false);
            }
        }
    }

    /// Processes a reset from the destination's address at an interface.
    pub(super) fn reset(&mut self, tuple: &Tuple, packet: &Packet, interfaces: &PodInterfaces) {
        let Packet { ifindex, direction, time: now, .. } = *packet;
        let destination = tuple.destination.address;
        let observed = match direction {
            Direction::FromPod if interfaces.carries(ifindex, destination) == Some(false) => return,
            Direction::FromPod => Observed::Refused,
            Direction::ToPod if interfaces.carries(ifindex, tuple.source.address) == Some(false) => return,
            // The ring buffer preserves order: if the pod had sent it, it would have been seen at the pod's interface
            // before.
            Direction::ToPod if interfaces.owner(destination).is_some() => Observed::Rejected,
            Direction::ToPod => Observed::Reset,
        };
        self.refuse(observed, now);
    }

    fn refuse(&mut self, observed: Observed, now: Monotonic) {
        let blocking = self.blocking.get_or_insert_default();
        blocking.refusal.get_or_insert(Refusal { observed, at: now });
    }

    /// Processes an ICMP error that quotes the opening packet.
    pub(super) fn icmp_error(&mut self, tuple: &Tuple, error: &IcmpError, interfaces: &PodInterfaces) {
        let destination = tuple.destination.address;
        if error.kind == IcmpKind::Other {
            return;
        }
        // An error by the node itself, about a connection to a destination other than the node.
        let by_the_node = interfaces.host().contains(&error.reporter) && error.reporter != destination;
        let observed = match error.direction {
            Direction::FromPod if interfaces.carries(error.ifindex, destination) == Some(false) => return,
            Direction::FromPod => Observed::Refused,
            Direction::ToPod if interfaces.carries(error.ifindex, tuple.source.address) == Some(false) => {
                return;
            }
            Direction::ToPod if interfaces.owner(destination).is_some() || by_the_node => Observed::Rejected,
            // Any router may send one, for reasons other than policies. And an enforcer may use the destination's
            // address.
            Direction::ToPod => Observed::Reset,
        };
        self.refuse(observed, error.time);
    }

    /// Processes a drop of the opening packet or, with `reply`, of the answer to it.
    pub(super) fn dropped(
        &mut self,
        drop: &KernelDrop,
        place: DropPlace,
        reply: bool,
        reasons: &DropReasons,
    ) {
        let blocking = self.blocking.get_or_insert_default();
        blocking.drops = blocking.drops.saturating_add(drop.count);
        let hook = reasons.hook(drop.reason).filter(|_| place == DropPlace::Host);
        let Some(hook) = hook else {
            blocking.other_drop = Some(drop.reason);
            blocking.dropped_outside_pod |= place != DropPlace::Pod && !reply;
            return;
        };
        // A packet filter that rejects a packet sends the reset first, and then drops the packet.
        if let Some(refusal) = &mut blocking.refusal
            && refusal.observed == Observed::Reset
        {
            refusal.observed = Observed::Rejected;
        }
        let first = EnforcerDrop { reason: drop.reason, hook, reply, began: drop.time };
        blocking.dropped.get_or_insert(first);
    }

    /// Returns the result if the evidence is conclusive, without waiting for more.
    fn conclusive(&self, tuple: &Tuple, interfaces: &PodInterfaces) -> Option<Observed> {
        let source_is_local =
            self.source_interface.is_some() || interfaces.owner(tuple.source.address).is_some();
        let established = if source_is_local { self.accept_received } else { self.accepted };
        if self.pre_existing || established {
            return Some(Observed::Established);
        }
        // Later evidence may show who sent a reset from elsewhere.
        self.refused().filter(|refusal| *refusal != Observed::Reset)
    }

    fn refused(&self) -> Option<Observed> {
        self.refusal().map(|refusal| refusal.observed)
    }

    fn refusal(&self) -> Option<Refusal> {
        self.blocking.as_ref()?.refusal
    }

    fn enforcer_drop(&self) -> Option<EnforcerDrop> {
        self.blocking.as_ref()?.dropped
    }

    fn spoof_candidate(&self) -> Option<u32> {
        self.blocking.as_ref()?.spoof_candidate
    }

    /// Decides the attempt after a change, if the evidence is conclusive or the connection is over.
    pub(super) fn review(
        &mut self,
        tuple: &Tuple,
        now: Monotonic,
        losses: &Losses,
        interfaces: &PodInterfaces,
    ) -> Option<Attempt> {
        // Later evidence may show who sent a reset from elsewhere.
        let is_over = self.closed && self.refused() != Some(Observed::Reset);
        let is_decided = match (self.conclusive(tuple, interfaces), self.decided) {
            (Some(_), None) => true,
            (Some(observed), Some(decided)) => decided != observed && observed == Observed::Established,
            (None, None) => is_over,
            (None, Some(_)) => false,
        };
        if is_decided { self.conclude(tuple, now, losses, interfaces) } else { None }
    }

    /// Decides the attempt by the evidence so far. A decided attempt is decided again only if it turns out to be
    /// established.
    pub(super) fn conclude(
        &mut self,
        tuple: &Tuple,
        now: Monotonic,
        losses: &Losses,
        interfaces: &PodInterfaces,
    ) -> Option<Attempt> {
        let observed = self.final_result(tuple, interfaces);
        if self.decided.is_some() && (self.decided == Some(observed) || observed != Observed::Established) {
            return None;
        }
        let attempt = self.attempt(*tuple, observed, now, losses);
        self.decided = Some(observed);
        Some(attempt)
    }

    /// Returns the result if no more evidence is waited for.
    fn final_result(&self, tuple: &Tuple, interfaces: &PodInterfaces) -> Observed {
        if let Some(observed) = self.conclusive(tuple, interfaces).or(self.refused()) {
            return observed;
        }
        if let Some(EnforcerDrop { reason, hook, reply, .. }) = self.enforcer_drop() {
            return Observed::Dropped { reason, hook, reply };
        }
        // A drop may still be reported until the attempt times out.
        let dropped_outside_pod = self.blocking.as_ref().is_some_and(|blocking| blocking.dropped_outside_pod);
        let was_delivered = self.destination_interface.is_some() && !dropped_outside_pod && !self.superseded;
        if was_delivered { Observed::Delivered } else { Observed::Unanswered }
    }

    /// Returns when the attempt has to be decided or forgotten, if no more evidence comes.
    pub(super) fn due(&self, protocol: Protocol, limits: &Limits) -> Monotonic {
        match self.decided {
            None => self.settle(protocol, limits),
            Some(observed) => self.forget(observed, protocol, limits),
        }
    }

    /// Returns when to decide the attempt, if no more evidence comes.
    fn settle(&self, protocol: Protocol, limits: &Limits) -> Monotonic {
        // Other refusals decide immediately.
        if let Some(refusal) = self.refusal() {
            return refusal.at + RESET_WAIT;
        }
        if let Some(drop) = self.enforcer_drop() {
            return drop.began + limits.settle;
        }
        let one_way = self.destination_interface.is_some() && protocol == Protocol::Udp;
        self.began + if one_way { limits.settle } else { limits.unanswered }
    }

    /// Returns when to forget the attempt, once it is decided.
    fn forget(&self, observed: Observed, protocol: Protocol, limits: &Limits) -> Monotonic {
        self.last_seen
            + match (self.closed, observed, protocol) {
                (true, ..) => limits.closed,
                (false, Observed::Established, Protocol::Tcp | Protocol::Sctp) => limits.established,
                (false, Observed::Established, Protocol::Udp) => limits.answered,
                _ => limits.idle,
            }
    }

    /// Returns the decided attempt.
    fn attempt(&self, tuple: Tuple, observed: Observed, now: Monotonic, losses: &Losses) -> Attempt {
        Attempt {
            tuple,
            service_address: self.translation().and_then(NatMapping::service_address),
            began: self.began,
            decided: now,
            observed,
            retransmissions: self.retransmissions,
            drops: self.blocking.as_ref().map_or(0, |blocking| blocking.drops),
            other_drop: self.blocking.as_ref().and_then(|blocking| blocking.other_drop),
            source_interface: self.source_interface,
            destination_interface: self.destination_interface,
            spoof_candidate: self.spoof_candidate(),
            pre_existing: self.pre_existing,
            records_lost: losses.may_touch(tuple.protocol, self.began),
            revised: self.decided.is_some(),
            is_recheck: self.is_recheck,
        }
    }

    /// Returns whether a dropped packet is the attempt's opening packet, or an answer to it.
    pub(super) fn is_about(&self, protocol: Protocol, signal: Option<PacketKind>, reply: bool) -> bool {
        match (protocol, reply, signal) {
            (Protocol::Udp, ..) => true,
            (_, false, Some(PacketKind::Open(number))) => Some(number) == self.number,
            (_, true, Some(PacketKind::Accept)) => true,
            _ => false,
        }
    }
}
