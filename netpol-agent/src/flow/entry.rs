//! One entry of the flow table: the evidence about one attempt, and its result.

mod translated;

use std::{num::NonZeroU32, time::Duration};

use crate::{
    identity::PodInterfaces,
    model::{
        Attempt, Direction, DropHook, DropReasons, IcmpError, IcmpKind, KernelDrop, Monotonic, Observed,
        Packet, PacketKind, Protocol, Tuple,
    },
};

use super::{
    Limits,
    blocking::{BlockingEvidence, DropPlace, EnforcerDrop, Refusal},
    losses::Losses,
    nat::{NatMapping, Translation},
};

/// The time from a reset or ICMP error that came from elsewhere to the decision. If a packet filter of this node sent
/// it, the drop of the opening packet is reported within this time.
pub(super) const RESET_WAIT: Duration = Duration::from_millis(250);

/// The maximum time from an opening packet at its sender's interface to its translated form elsewhere on the node. It
/// usually takes microseconds, unless a program outside the kernel decides on it. The time is short so that packets
/// that are similar by chance are not matched.
const MAX_TRANSLATION_DELAY: Duration = Duration::from_secs(1);

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
    source_interface: Option<NonZeroU32>,
    destination_interface: Option<NonZeroU32>,
    /// Whether an opening packet was seen inside the destination pod, or something that the pod sent shows that one
    /// arrived.
    arrived: bool,
    /// Whether an opening packet left the node.
    left_node: bool,
    /// Whether a packet that another pod sent in the source's name has arrived. Then an answer may be one to that.
    forgery_arrived: bool,
    /// Whether the attempt was decided when nothing had arrived yet, nor left the node.
    decided_before_arrival: bool,
    /// Whether the opening packet may have been sent to a Service, in a form that can't be told from others.
    may_be_translated: bool,
    pre_existing: bool,
    is_recheck: bool,
    /// Whether the answer came out of the destination pod.
    accepted: bool,
    /// Whether the answer entered the source pod.
    accept_received: bool,
    blocking: Option<Box<BlockingEvidence>>,
    translation: Option<Box<Translation>>,
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
            arrived: false,
            left_node: false,
            forgery_arrived: false,
            decided_before_arrival: false,
            may_be_translated: false,
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
            source_interface: self.source_interface,
            scheduled_at: self.scheduled_at,
            may_be_translated: self.may_be_translated,
            translation: self.translation.take(),
            ..Self::new(self.number, now)
        };
    }

    /// Returns whether a packet that arrives now begins the attempt anew: it was decided long ago, and nothing had arrived.
    pub(super) fn arrives_late(&self, now: Monotonic, limits: &Limits) -> bool {
        let is_stopped = self.decided.is_some() && !self.has_got_through() && !self.pre_existing;
        is_stopped && now.since(self.began) > limits.unanswered + limits.settle
    }

    /// Begins the attempt anew: what was decided about earlier packets of the same tuple says nothing about those that
    /// arrive now.
    pub(super) fn begin_again(&mut self, now: Monotonic) {
        *self = Self {
            source_interface: self.source_interface,
            scheduled_at: self.scheduled_at,
            may_be_translated: self.may_be_translated,
            translation: self.translation.take(),
            ..Self::new(self.number, now)
        };
    }

    /// Returns whether further evidence may change the result.
    pub(super) fn awaits_evidence(&self) -> bool {
        self.decided.is_none() && !self.closed
    }

    fn has_answer(&self) -> bool {
        self.accept_received || self.accepted
    }

    /// Returns the number of the source's interface, if a packet was seen there.
    pub(super) fn source(&self) -> Option<u32> {
        self.source_interface.map(NonZeroU32::get)
    }

    /// Records that a packet in the source's name has arrived, which another pod has sent.
    pub(super) fn forgery_arrived(&mut self) {
        self.forgery_arrived = true;
    }

    /// Returns whether what the destination sends may be about a packet that another pod has sent in the source's name.
    fn may_be_about_forgery(&self) -> bool {
        self.forgery_arrived && !self.arrived
    }

    /// Records that an opening packet left the node. If it came from a pod of this node, nothing on this node stopped it.
    pub(super) fn left_node(&mut self) {
        self.left_node |= self.source_interface.is_some();
    }

    /// Returns whether a packet has arrived in the destination pod, or has left the node.
    pub(super) fn has_got_through(&self) -> bool {
        self.arrived || self.left_node
    }

    /// Returns whether the destination pod was seen to answer or to refuse.
    pub(super) fn has_answered(&self) -> bool {
        self.accepted || self.refused() == Some(Observed::Refused)
    }

    /// Returns whether the destination pod has sent an answer, and the source has not received it.
    pub(super) fn has_unreceived_answer(&self) -> bool {
        self.accepted && !self.accept_received
    }

    /// Returns whether the attempt's packets are known to have been dropped, and none has got through.
    pub(super) fn seems_stopped(&self) -> bool {
        let is_dropped =
            |blocking: &BlockingEvidence| blocking.dropped.is_some() || blocking.dropped_outside_pod;
        self.blocking.as_deref().is_some_and(is_dropped) && !self.has_got_through() && !self.has_answer()
    }

    /// Returns whether a datagram in the other direction can be an answer to this attempt: one of its own has arrived, or
    /// where it arrives is not seen.
    pub(super) fn can_be_answered(&self, tuple: &Tuple, interfaces: &PodInterfaces) -> bool {
        if self.pre_existing || self.arrived || self.has_answer() {
            return true;
        }
        match interfaces.owner(tuple.destination.address) {
            Some(destination) => !interfaces.sees_arrivals(destination, self.began),
            None => !self.seems_stopped(),
        }
    }

    /// Returns whether a dropped datagram in the other direction was an answer to this attempt: one of its own is known to
    /// have got to where it is answered, or that would not have been seen.
    pub(super) fn may_be_answered_by_dropped(&self, tuple: &Tuple, interfaces: &PodInterfaces) -> bool {
        let is_local = interfaces.owner(tuple.destination.address).is_some();
        let would_be_seen_to_leave = !is_local && interfaces.sees_exits(self.began);
        self.can_be_answered(tuple, interfaces) && (self.left_node || !would_be_seen_to_leave)
    }

    /// Returns whether this attempt's answer or refusal must acknowledge its number: TCP acknowledges the number and what
    /// follows it (RFC 9293, section 3.10.7.3), SCTP repeats the tag (RFC 9260, section 8.5.1). Who does not see the
    /// attempt's packets can't know the number.
    pub(super) fn is_acknowledged_by(&self, protocol: Protocol, packet: &Packet) -> bool {
        /// The most data that a SYN has (TCP Fast Open, RFC 7413): what fits into a packet.
        const MAX_DATA: u32 = 65_535;
        match (protocol, self.number) {
            (Protocol::Tcp, Some(number)) => {
                packet.acknowledgment.wrapping_sub(number).wrapping_sub(1) <= MAX_DATA
            }
            (Protocol::Sctp, Some(number)) => packet.acknowledgment == number,
            _ => true,
        }
    }

    /// Processes the opening packet, or another datagram of the opener, at an interface.
    pub(super) fn opened(&mut self, tuple: &Tuple, packet: &Packet, interfaces: &PodInterfaces) {
        let Packet { ifindex, direction, time: now, .. } = *packet;
        match direction {
            Direction::FromPod if !interfaces.may_have(ifindex, tuple.source.address, now) => {
                // It came out of a pod that spoofs, or out of an uplink. A packet that the pod itself has sent is neither.
                if self.source_interface.is_none() {
                    self.blocking.get_or_insert_default().spoof_candidate = Some(ifindex);
                }
            }
            Direction::FromPod => {
                if self.source_interface.is_some() {
                    self.retransmissions = self.retransmissions.saturating_add(1);
                }
                self.source_interface = NonZeroU32::new(ifindex);
            }
            // It went into an interface that does not have the destination: a node's uplink.
            Direction::ToPod if !interfaces.may_have(ifindex, tuple.destination.address, now) => {}
            Direction::ToPod => {
                // A packet that is seen at both interfaces is not a retransmission at the second one.
                if self.destination_interface.is_some() && self.source_interface.is_none() {
                    self.retransmissions = self.retransmissions.saturating_add(1);
                }
                self.destination_interface = NonZeroU32::new(ifindex);
                self.arrived |= interfaces.sees_arrivals(ifindex, now);
            }
        }
    }

    /// Returns whether packets of this attempt arrived that its source, a pod of this node, is not seen to have sent.
    fn is_unsent(&self, tuple: &Tuple, interfaces: &PodInterfaces) -> bool {
        let source_is_seen = || {
            let owner = interfaces.owner(tuple.source.address);
            owner.is_some_and(|owner| interfaces.sees_arrivals(owner, self.began))
        };
        self.source_interface.is_none()
            && self.destination_interface.is_some()
            && !self.pre_existing
            && !self.may_be_translated
            && source_is_seen()
    }

    /// Records that the opener's end of the connection entered an interface. Whatever enters the destination pod has arrived.
    pub(super) fn ended_by_opener(&mut self, tuple: &Tuple, packet: &Packet, interfaces: &PodInterfaces) {
        self.arrived |= packet.direction == Direction::ToPod
            && interfaces.carries(packet.ifindex, tuple.destination.address) == Some(true)
            && interfaces.sees_arrivals(packet.ifindex, packet.time);
    }

    /// Returns whether the whole attempt may be spoofed: its opening packet came out of another pod than the one that
    /// has the source address, and was not seen out of that one.
    pub(super) fn is_forged(&self, tuple: &Tuple, interfaces: &PodInterfaces) -> bool {
        let Some(foreign) = self.spoof_candidate().filter(|_| self.source_interface.is_none()) else {
            return false;
        };
        let is_pod = interfaces.get_or_removed(foreign).is_some_and(|interface| interface.is_inside);
        is_pod || interfaces.owner(tuple.source.address).is_some_and(|owner| owner != foreign)
    }

    /// Processes the answer at an interface. `tuple` is the attempt's.
    pub(super) fn answered(&mut self, tuple: &Tuple, packet: &Packet, interfaces: &PodInterfaces) {
        match packet.direction {
            Direction::FromPod => {
                if interfaces.may_have(packet.ifindex, tuple.destination.address, packet.time)
                    && !self.may_be_about_forgery()
                {
                    self.accepted = true;
                    self.arrived = true;
                    // On their way into the pod packets may bypass the end of its interface that is on the node
                    // (`bpf_redirect_peer`, Linux 5.10).
                    self.destination_interface =
                        self.destination_interface.or(NonZeroU32::new(packet.ifindex));
                }
            }
            Direction::ToPod => {
                self.accept_received |=
                    interfaces.may_have(packet.ifindex, tuple.source.address, packet.time);
            }
        }
    }

    /// Processes a reset from the destination's address at an interface.
    pub(super) fn reset(&mut self, tuple: &Tuple, packet: &Packet, interfaces: &PodInterfaces) {
        let Packet { ifindex, direction, time: now, .. } = *packet;
        let destination = tuple.destination.address;
        let observed = match direction {
            Direction::FromPod
                if !interfaces.may_have(ifindex, destination, now) || self.may_be_about_forgery() =>
            {
                return;
            }
            Direction::FromPod => self.refused_by_pod(),
            Direction::ToPod if !interfaces.may_have(ifindex, tuple.source.address, now) => return,
            // The ring buffer preserves order: if the pod had sent it, it would have been seen at the pod's interface
            // before.
            Direction::ToPod if interfaces.owner(destination).is_some() => Observed::Rejected,
            Direction::ToPod => Observed::Reset,
        };
        self.refuse(observed, now);
    }

    /// What the destination pod refuses has reached it.
    fn refused_by_pod(&mut self) -> Observed {
        self.arrived = true;
        Observed::Refused
    }

    fn refuse(&mut self, observed: Observed, now: Monotonic) {
        self.blocking.get_or_insert_default().refused(observed, now);
    }

    /// Processes an ICMP error that quotes the opening packet.
    pub(super) fn icmp_error(&mut self, tuple: &Tuple, error: &IcmpError, interfaces: &PodInterfaces) {
        let destination = tuple.destination.address;
        if error.kind == IcmpKind::Other || error.reporter == tuple.source.address {
            return;
        }
        // An error by the node itself, about a connection to a destination other than the node.
        let by_the_node = interfaces.host().contains(&error.reporter) && error.reporter != destination;
        let observed = match error.direction {
            Direction::FromPod
                if !interfaces.may_have(error.ifindex, destination, error.time)
                    || self.may_be_about_forgery() =>
            {
                return;
            }
            Direction::FromPod => self.refused_by_pod(),
            Direction::ToPod if !interfaces.may_have(error.ifindex, tuple.source.address, error.time) => {
                return;
            }
            // Another pod is no router.
            Direction::ToPod
                if error.reporter != destination && interfaces.owner(error.reporter).is_some() =>
            {
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
        // Another program may be attached behind ours.
        let is_behind = place == DropPlace::Host && reasons.hook(drop.reason) == Some(DropHook::Tc);
        if is_behind && !reply {
            self.left_node = false;
        }
        self.blocking.get_or_insert_default().dropped(drop, place, reply, reasons);
    }

    /// Returns the result if the evidence is conclusive, without waiting for more.
    fn conclusive(&self, tuple: &Tuple, interfaces: &PodInterfaces) -> Option<Observed> {
        if self.pre_existing || self.is_established(tuple, interfaces) {
            return Some(Observed::Established);
        }
        // Later evidence may show who sent a reset from elsewhere.
        self.refused().filter(|refusal| *refusal != Observed::Reset)
    }

    fn is_established(&self, tuple: &Tuple, interfaces: &PodInterfaces) -> bool {
        let source_is_local =
            self.source_interface.is_some() || interfaces.owner(tuple.source.address).is_some();
        if source_is_local {
            self.accept_received && (self.accepted || !self.would_be_seen_to_accept(tuple, interfaces))
        } else {
            self.accepted
        }
    }

    /// Returns whether an answer by the destination would have been seen where it leaves: it is a pod of this node.
    fn would_be_seen_to_accept(&self, tuple: &Tuple, interfaces: &PodInterfaces) -> bool {
        let owner = interfaces.owner(tuple.destination.address).and_then(|owner| interfaces.get(owner));
        owner.is_some_and(|interface| interface.attached_at <= self.began)
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
            (Some(observed), Some(decided)) => self.is_better(observed, decided),
            (None, None) => is_over,
            // A packet has arrived after all.
            (None, Some(_)) => self.decided_before_arrival && self.has_got_through(),
        };
        if is_decided { self.conclude(tuple, now, losses, interfaces) } else { None }
    }

    /// Returns whether a result replaces an earlier one: it shows more clearly that the attempt reached its destination.
    fn is_better(&self, observed: Observed, decided: Observed) -> bool {
        let is_established = observed == Observed::Established && decided != observed;
        is_established || (self.decided_before_arrival && self.has_got_through())
    }

    /// Decides the attempt by the evidence so far. A decided attempt is decided again only if it turns out to have reached
    /// its destination.
    pub(super) fn conclude(
        &mut self,
        tuple: &Tuple,
        now: Monotonic,
        losses: &Losses,
        interfaces: &PodInterfaces,
    ) -> Option<Attempt> {
        let observed = self.final_result(tuple, interfaces);
        if self.decided.is_some_and(|decided| !self.is_better(observed, decided)) {
            return None;
        }
        // Its translated forms are reported instead.
        let is_reported = self.endpoints().is_empty() || observed == Observed::Established;
        let attempt = Attempt {
            source_unseen: self.is_unsent(tuple, interfaces),
            ..self.attempt(*tuple, observed, now, losses)
        };
        self.decided = Some(observed);
        self.decided_before_arrival = !self.has_got_through();
        is_reported.then_some(attempt)
    }

    /// Returns the result if no more evidence is waited for.
    fn final_result(&self, tuple: &Tuple, interfaces: &PodInterfaces) -> Observed {
        if let Some(observed) = self.conclusive(tuple, interfaces).or(self.refused()) {
            return observed;
        }
        if self.accept_received {
            // The pod, which is on this node, has sent no answer.
            return Observed::Proxied;
        }
        let drop = self.enforcer_drop().filter(|drop| drop.reply || !self.has_got_through());
        if let Some(EnforcerDrop { reason, hook, reply, .. }) = drop {
            return Observed::Dropped { reason, hook, reply };
        }
        // A drop may still be reported until the attempt times out.
        let dropped_outside_pod = self.blocking.as_ref().is_some_and(|blocking| blocking.dropped_outside_pod);
        let seen_at_host_end =
            self.destination_interface.is_some() && !dropped_outside_pod && !self.superseded;
        if self.arrived || seen_at_host_end {
            Observed::Delivered
        } else if self.left_node {
            Observed::LeftNode
        } else {
            Observed::Unanswered
        }
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
            source_interface: self.source_interface.map(NonZeroU32::get),
            destination_interface: self.destination_interface.map(NonZeroU32::get),
            arrived: self.arrived,
            left_node: self.left_node,
            source_unseen: false,
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
