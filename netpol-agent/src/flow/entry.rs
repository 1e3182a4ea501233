//! What is known of one attempt, and what follows from it.

use std::time::Duration;

use crate::{
    identity::PodInterfaces,
    model::{
        Attempt, Direction, DropHook, DropReasons, IcmpError, IcmpKind, KernelDrop, Monotonic, Observed,
        Packet, PacketKind, Protocol, Tuple,
    },
};

use super::{Limits, losses::Losses, nat::NatMapping};

/// From a reset or ICMP error that came from elsewhere to the decision: the time in which the drop of the opening packet
/// would be told, had a packet filter of this node sent it.
pub(super) const RESET_WAIT: Duration = Duration::from_millis(250);

/// From an opening packet at its sender's veth to its translated form elsewhere on the node: microseconds, unless a
/// program outside the kernel decides on it. A short time keeps packets that are alike by chance apart.
const TRANSLATED_WITHIN: Duration = Duration::from_secs(1);

/// In whose network namespace a packet was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DropPlace {
    /// The host's, where enforcers act.
    Host,
    /// Another one: what a pod does there is its own affair.
    Pod,
    /// It is not known.
    Unknown,
}

/// A refusal, told by who sent it.
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

/// What kept an attempt from getting there, or may have. Few have any of it.
#[derive(Debug, Default)]
struct BlockingEvidence {
    refusal: Option<Refusal>,
    dropped: Option<EnforcerDrop>,
    drops: u32,
    other_drop: Option<u32>,
    /// An opening packet was dropped, and not inside a pod: having been at the destination's veth proves nothing.
    lost_here: bool,
    spoof_candidate: Option<u32>,
}

/// One attempt, oriented: its tuple, the key in the table, goes from who opened to who was to answer.
#[derive(Debug)]
pub(super) struct Entry {
    /// Tells this attempt from an earlier one of the same tuple; datagrams have none, nor has what was open before.
    pub(super) number: Option<u32>,
    pub(super) last_seen: Monotonic,
    /// When the table looks at it again; the queue's item of this moment is the valid one.
    pub(super) armed: Monotonic,
    /// What it was decided to be, once it was.
    pub(super) decided: Option<Observed>,
    /// Over: only late packets may come.
    pub(super) closed: bool,
    /// Its tuple stands for another attempt from now on: what becomes of this one will not be seen.
    pub(super) overtaken: bool,
    began: Monotonic,
    retransmissions: u16,
    source_interface: Option<u32>,
    destination_interface: Option<u32>,
    pre_existing: bool,
    is_recheck: bool,
    /// The answer came out of the destination pod.
    accepted: bool,
    /// The answer went into the source pod.
    accept_received: bool,
    blocking: Option<Box<BlockingEvidence>>,
    translation: Option<Box<NatMapping>>,
}

impl Entry {
    pub(super) fn new(number: Option<u32>, now: Monotonic) -> Self {
        Self {
            number,
            last_seen: now,
            armed: Monotonic::ZERO,
            decided: None,
            closed: false,
            overtaken: false,
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

    /// One that was open before the agent looked.
    pub(super) fn pre_existing(now: Monotonic) -> Self {
        Self { pre_existing: true, ..Self::new(None, now) }
    }

    /// Whether it is time to look anew at what becomes of its packets.
    pub(super) fn is_to_be_renewed(&self, now: Monotonic, limits: &Limits) -> bool {
        self.decided.is_some() && !self.pre_existing && now >= self.began + limits.renew
    }

    /// Begins anew, with the same tuple. Unless it was stopped on its way it goes on, and those who enforce may let it
    /// for that reason alone, whatever the policies are by now.
    pub(super) fn renew(&mut self, now: Monotonic) {
        *self = Self {
            is_recheck: !matches!(self.decided, Some(Observed::Dropped { .. } | Observed::Rejected)),
            armed: self.armed,
            translation: self.translation.take(),
            ..Self::new(self.number, now)
        };
    }

    /// Its translation, where one was seen.
    pub(super) fn translation(&self) -> Option<&NatMapping> {
        self.translation.as_deref()
    }

    /// Whether a packet beyond the opener's veth may be a translated one of this attempt, whose destination was not
    /// found so far. Where records were lost, the packet's own sender may be among them.
    pub(super) fn may_be_translated(&self, protocol: Protocol, now: Monotonic, losses: &Losses) -> bool {
        self.translation.is_none()
            && self.decided.is_none()
            && now.since(self.last_seen) < TRANSLATED_WITHIN
            && self.source_interface.is_some()
            && self.destination_interface.is_none()
            && !losses.may_touch(protocol, self.began)
    }

    /// Takes note of a translation.
    pub(super) fn translated(&mut self, translation: NatMapping) {
        self.translation = Some(Box::new(translation));
    }

    /// The opening packet, or another datagram of who opened, at a veth.
    pub(super) fn opened(&mut self, tuple: &Tuple, packet: &Packet, interfaces: &PodInterfaces) {
        let Packet { ifindex, direction, .. } = *packet;
        // Of a packet that is seen at both veths, the second sighting is no retransmission.
        let first_place = direction == Direction::FromPod || self.source_interface.is_none();
        let (place, address) = match direction {
            Direction::FromPod => (&mut self.source_interface, tuple.source.address),
            Direction::ToPod => (&mut self.destination_interface, tuple.destination.address),
        };
        if interfaces.carries(ifindex, address) == Some(false) {
            // Into a veth that does not have the destination: a node's uplink. Out of one that does not have the
            // source: an uplink again, or a pod that spoofs; what the pod itself has sent is none of that.
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

    /// Whether all of it may be made up: its opening packet came out of another pod than the one that has the source's
    /// address, and not out of that one.
    pub(super) fn is_forged(&self, tuple: &Tuple, interfaces: &PodInterfaces) -> bool {
        self.source_interface.is_none()
            && self.spoof_candidate().is_some_and(|foreign| {
                interfaces.owner(tuple.source.address).is_some_and(|owner| owner != foreign)
            })
    }

    /// The answer, at a veth. `tuple` is the attempt's.
    pub(super) fn answered(&mut self, tuple: &Tuple, packet: &Packet, interfaces: &PodInterfaces) {
        match packet.direction {
            Direction::FromPod => {
                if interfaces.carries(packet.ifindex, tuple.destination.address) != Some(false) {
                    self.accepted = true;
                    // Packets may get into a pod past its veth (`bpf_redirect_peer`, Linux 5.10).
                    self.destination_interface.get_or_insert(packet.ifindex);
                }
            }
            Direction::ToPod => {
                self.accept_received |=
                    interfaces.carries(packet.ifindex, tuple.source.address) != Some(false);
            }
        }
    }

    /// A reset by the destination's address, at a veth.
    pub(super) fn reset(&mut self, tuple: &Tuple, packet: &Packet, interfaces: &PodInterfaces) {
        let Packet { ifindex, direction, time: now, .. } = *packet;
        let destination = tuple.destination.address;
        let observed = match direction {
            Direction::FromPod if interfaces.carries(ifindex, destination) == Some(false) => return,
            Direction::FromPod => Observed::Refused,
            Direction::ToPod if interfaces.carries(ifindex, tuple.source.address) == Some(false) => return,
            // The ring keeps order: had the pod sent it, its own veth would have shown it before.
            Direction::ToPod if interfaces.owner(destination).is_some() => Observed::Rejected,
            Direction::ToPod => Observed::Reset,
        };
        self.refuse(observed, now);
    }

    fn refuse(&mut self, observed: Observed, now: Monotonic) {
        let blocking = self.blocking.get_or_insert_default();
        blocking.refusal.get_or_insert(Refusal { observed, at: now });
    }

    /// An ICMP error that quotes the opening packet.
    pub(super) fn icmp_error(&mut self, tuple: &Tuple, error: &IcmpError, interfaces: &PodInterfaces) {
        let destination = tuple.destination.address;
        if error.kind == IcmpKind::Other {
            return;
        }
        // What the node itself says of a connection to elsewhere, and not to itself.
        let by_the_node = interfaces.host().contains(&error.reporter) && error.reporter != destination;
        let observed = match error.direction {
            Direction::FromPod if interfaces.carries(error.ifindex, destination) == Some(false) => return,
            Direction::FromPod => Observed::Refused,
            Direction::ToPod if interfaces.carries(error.ifindex, tuple.source.address) == Some(false) => {
                return;
            }
            Direction::ToPod if interfaces.owner(destination).is_some() || by_the_node => Observed::Rejected,
            // Any router may send one, whatever the policies; and an enforcer may take the destination's address.
            Direction::ToPod => Observed::Reset,
        };
        self.refuse(observed, error.time);
    }

    /// The kernel dropped the opening packet or, with `reply`, the answer to it.
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
            blocking.lost_here |= place != DropPlace::Pod && !reply;
            return;
        };
        // A packet filter that rejects sends the reset, and then drops the packet.
        if let Some(refusal) = &mut blocking.refusal
            && refusal.observed == Observed::Reset
        {
            refusal.observed = Observed::Rejected;
        }
        let first = EnforcerDrop { reason: drop.reason, hook, reply, began: drop.time };
        blocking.dropped.get_or_insert(first);
    }

    /// What is decided by what has been seen, without waiting for more.
    fn evident(&self, tuple: &Tuple, interfaces: &PodInterfaces) -> Option<Observed> {
        let near_end_is_here =
            self.source_interface.is_some() || interfaces.owner(tuple.source.address).is_some();
        let established = if near_end_is_here { self.accept_received } else { self.accepted };
        if self.pre_existing || established {
            return Some(Observed::Established);
        }
        // Who sent a reset from elsewhere may yet show.
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

    /// After a change: decides what has become evident, and what is over.
    pub(super) fn review(
        &mut self,
        tuple: &Tuple,
        now: Monotonic,
        losses: &Losses,
        interfaces: &PodInterfaces,
    ) -> Option<Attempt> {
        // Who sent a reset from elsewhere may yet show.
        let is_over = self.closed && self.refused() != Some(Observed::Reset);
        let is_decided = match (self.evident(tuple, interfaces), self.decided) {
            (Some(_), None) => true,
            (Some(observed), Some(decided)) => decided != observed && observed == Observed::Established,
            (None, None) => is_over,
            (None, Some(_)) => false,
        };
        if is_decided { self.conclude(tuple, now, losses, interfaces) } else { None }
    }

    /// Decides it with what is known; once that was done, again only if it turns out to be established.
    pub(super) fn conclude(
        &mut self,
        tuple: &Tuple,
        now: Monotonic,
        losses: &Losses,
        interfaces: &PodInterfaces,
    ) -> Option<Attempt> {
        let observed = self.settled(tuple, interfaces);
        if self.decided.is_some() && (self.decided == Some(observed) || observed != Observed::Established) {
            return None;
        }
        let attempt = self.attempt(*tuple, observed, now, losses);
        self.decided = Some(observed);
        Some(attempt)
    }

    /// What it comes to when nothing more is waited for.
    fn settled(&self, tuple: &Tuple, interfaces: &PodInterfaces) -> Observed {
        if let Some(observed) = self.evident(tuple, interfaces).or(self.refused()) {
            return observed;
        }
        if let Some(EnforcerDrop { reason, hook, reply, .. }) = self.enforcer_drop() {
            return Observed::Dropped { reason, hook, reply };
        }
        // Until its time is over, a drop may still be told.
        let lost_here = self.blocking.as_ref().is_some_and(|blocking| blocking.lost_here);
        let is_there = self.destination_interface.is_some() && !lost_here && !self.overtaken;
        if is_there { Observed::Delivered } else { Observed::Unanswered }
    }

    /// When there is something to do about it, if nothing comes: decide it, or forget it.
    pub(super) fn due(&self, protocol: Protocol, limits: &Limits) -> Monotonic {
        match self.decided {
            None => self.settle(protocol, limits),
            Some(observed) => self.forget(observed, protocol, limits),
        }
    }

    /// When to settle it, if nothing comes.
    fn settle(&self, protocol: Protocol, limits: &Limits) -> Monotonic {
        // Other refusals decide at once.
        if let Some(refusal) = self.refusal() {
            return refusal.at + RESET_WAIT;
        }
        if let Some(drop) = self.enforcer_drop() {
            return drop.began + limits.settle;
        }
        let one_way = self.destination_interface.is_some() && protocol == Protocol::Udp;
        self.began + if one_way { limits.settle } else { limits.unanswered }
    }

    /// When to forget it, once it is decided.
    fn forget(&self, observed: Observed, protocol: Protocol, limits: &Limits) -> Monotonic {
        self.last_seen
            + match (self.closed, observed, protocol) {
                (true, ..) => limits.closed,
                (false, Observed::Established, Protocol::Tcp | Protocol::Sctp) => limits.established,
                (false, Observed::Established, Protocol::Udp) => limits.answered,
                _ => limits.idle,
            }
    }

    /// The outcome as a value.
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

    /// Whether a dropped packet is the attempt's opening packet, or an answer to it.
    pub(super) fn is_about(&self, protocol: Protocol, signal: Option<PacketKind>, reply: bool) -> bool {
        match (protocol, reply, signal) {
            (Protocol::Udp, ..) => true,
            (_, false, Some(PacketKind::Open(number))) => Some(number) == self.number,
            (_, true, Some(PacketKind::Accept)) => true,
            _ => false,
        }
    }
}
