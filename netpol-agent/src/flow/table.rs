//! The flow table: all recent attempts, up to a maximum number.

mod eviction;
mod translation;

use std::{net::IpAddr, time::Duration};

use hashbrown::{HashMap, hash_map::EntryRef};
use serde::{Deserialize, Serialize};

use crate::{
    identity::PodInterfaces,
    model::{
        Attempt, Direction, DropReasons, IcmpError, KernelDrop, Monotonic, Packet, PacketKind, Protocol,
        Tuple,
    },
};

use super::{
    blocking::DropPlace,
    entry::{Entry, RESET_WAIT},
    forgeries::{Forgeries, Forgery},
    losses::Losses,
    nat::{NatKey, NatTable},
    timer_queue::TimerQueue,
};

/// The maximum number of attempts in the table, and the timeouts.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// The maximum number of attempts in the table. If it is full, another attempt is evicted.
    pub entries: usize,
    /// The time from an enforcer's drop, or from the delivery of a one-way datagram, to the decision. The first TCP
    /// retransmission (1 s, RFC 6298) may still get through in this time.
    pub settle: Duration,
    /// The time from the first packet to the decision that no answer comes.
    pub unanswered: Duration,
    /// How long a decided attempt is remembered without a packet. It is longer than the gap before the last but one SYN
    /// retransmission of Linux (32 s with `tcp_syn_retries` = 6), so that those do not look like new attempts.
    pub idle: Duration,
    /// How long an answered UDP conversation is remembered without a datagram. Enforcers let either side continue until
    /// they forget it themselves, so it is not shorter than theirs. Connection tracking takes 120 s
    /// (`nf_conntrack_udp_timeout_stream`), and a datagram may be recorded 5 s late.
    pub answered: Duration,
    /// How long an established TCP or SCTP connection is remembered without a control packet.
    pub established: Duration,
    /// How long after its start an attempt that has packets all the time, and no control packets, is re-evaluated.
    pub renew: Duration,
    /// How long a connection is remembered after its end.
    pub closed: Duration,
    /// How long after the attachment to an already existing interface a datagram that looks like an answer is taken for
    /// one. The same as the time for which an answered conversation is remembered.
    pub startup: Duration,
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 65_536,
            settle: seconds(2),
            unanswered: seconds(5),
            idle: seconds(70),
            answered: seconds(130),
            established: seconds(3600),
            renew: seconds(600),
            closed: seconds(1),
            startup: seconds(130),
        }
    }
}

/// When a new attempt is first checked. Most connections are over by then, and their entry is free again.
const FIRST_CHECK: Duration = seconds(1);

/// The maximum interval between two calls of [`FlowTable::expire`].
const EXPIRE_INTERVAL: Duration = seconds(1);

/// The maximum time until an attempt is checked again, so that items of removed attempts do not accumulate in the
/// queue.
const MAX_CHECK_INTERVAL: Duration = seconds(10);

/// The smallest step of the clock: an attempt that is checked now is checked again later.
const TICK: Duration = Duration::from_nanos(1);

/// An attempt that is due earlier than its next check is queued again only if that saves more than this.
const SLACK: Duration = Duration::from_millis(250);

/// The maximum number of undecided attempts that are skipped to find a decided one to evict.
const EVICTION_TRIES: usize = 32;

/// The lowest port that Linux gives to clients by default (`net.ipv4.ip_local_port_range`).
const FIRST_EPHEMERAL_PORT: u16 = 32_768;

/// Statistics of the table, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowStats {
    /// Decided attempts that were evicted: their end is not observed.
    pub evicted: u64,
    /// Undecided attempts that were evicted: their result is not known.
    pub evicted_undecided: u64,
    /// Drops that match no attempt in the table.
    pub unmatched_drops: u64,
    /// Packets in another's name, which are evidence of nothing.
    pub forged: u64,
}

/// The flow table.
#[derive(Debug)]
pub struct FlowTable {
    limits: Limits,
    entries: HashMap<Tuple, Entry>,
    /// The times at which to check the entries. Each entry has one valid item in it.
    queue: TimerQueue,
    nat: NatTable,
    forgeries: Forgeries,
    losses: Losses,
    /// Attempts that were decided by the absence of evidence. They are emitted once it is known whether records were
    /// lost until then.
    held: Vec<Attempt>,
    /// Inode of the host's network namespace; `None` if it is not known.
    host_netns: Option<u32>,
    stats: FlowStats,
}

impl FlowTable {
    /// Returns the maximum time from the start of an attempt to its decision, if [`Self::expire`] is called several
    /// times a second.
    #[must_use]
    pub fn max_delay(limits: &Limits) -> Duration {
        limits.unanswered + limits.settle + RESET_WAIT + SLACK + EXPIRE_INTERVAL
    }

    /// Creates an empty table. `host_netns` is the inode of the network namespace in which enforcers act. A drop in
    /// another one is a pod's own.
    #[must_use]
    pub fn new(limits: Limits, host_netns: Option<u32>) -> Self {
        Self {
            limits,
            entries: HashMap::new(),
            queue: TimerQueue::default(),
            nat: NatTable::default(),
            forgeries: Forgeries::default(),
            losses: Losses::default(),
            held: Vec::new(),
            host_netns,
            stats: FlowStats::default(),
        }
    }

    /// Returns the number of attempts in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether the table is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the number of tuples that refer to an attempt's own one.
    #[cfg(test)]
    pub(super) fn alias_count(&self) -> usize {
        self.nat.alias_count()
    }

    /// Returns the statistics.
    #[must_use]
    pub fn stats(&self) -> FlowStats {
        FlowStats { forged: self.forgeries.total(), ..self.stats }
    }

    /// Sets the total of records that the kernel has lost until `now`.
    pub fn set_lost(&mut self, lost: u64, now: Monotonic) {
        self.losses.update(lost, now);
    }

    /// Returns when [`Self::expire`] has something to do next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Monotonic> {
        self.queue.next()
    }

    /// Processes a packet, and emits the attempts that it decides to `out`.
    pub fn packet(&mut self, packet: &Packet, interfaces: &PodInterfaces, out: &mut Vec<Attempt>) {
        let forgery = Forgery::Packet(packet.tuple, packet.sequence, packet.signal);
        let is_forged = match packet.direction {
            Direction::FromPod if is_forged(packet, interfaces) => {
                self.forgeries.sent(forgery, packet.time);
                true
            }
            Direction::FromPod => false,
            Direction::ToPod => self.forgeries.contains(&forgery, packet.time),
        };
        match packet.signal {
            // It may be all that is seen of an attempt. But it is no evidence about one that its own sender has made.
            PacketKind::Open(_) | PacketKind::Datagram if is_forged => {
                self.forged(packet, interfaces, out);
            }
            PacketKind::Open(number) => self.open(packet, number, interfaces, out),
            PacketKind::Datagram => self.datagram(packet, interfaces, out),
            PacketKind::Accept | PacketKind::Reset | PacketKind::Close if is_forged => {}
            PacketKind::Accept => self.answer(packet, interfaces, out),
            PacketKind::Reset | PacketKind::Close => self.end(packet, interfaces, out),
        }
    }

    /// Processes an opening packet that leaves the node.
    pub fn left_node(&mut self, packet: &Packet, interfaces: &PodInterfaces, out: &mut Vec<Attempt>) {
        let forgery = Forgery::Packet(packet.tuple, packet.sequence, packet.signal);
        if self.forgeries.contains(&forgery, packet.time) {
            return;
        }
        let Some(tuple) = self.leaving(packet, interfaces) else { return };
        let Some(entry) = self.entries.get_mut(&tuple) else { return };
        let number_matches = match packet.signal {
            PacketKind::Open(number) => entry.number == Some(number),
            _ => true,
        };
        if number_matches && interfaces.owner(tuple.destination.address).is_none() {
            entry.left_node();
            let attempt = entry.review(&tuple, packet.time, &self.losses, interfaces);
            emit(attempt, &mut self.held, out);
            bring_forward(entry, tuple, &self.limits, &mut self.queue);
        }
    }

    /// Processes an opening packet that a pod has sent in another's name.
    fn forged(&mut self, packet: &Packet, interfaces: &PodInterfaces, out: &mut Vec<Attempt>) {
        let number = match packet.signal {
            PacketKind::Open(number) => Some(number),
            _ => None,
        };
        let tuple = packet.tuple;
        let is_other = |key: &Tuple| {
            let entry = self.entries.get(key);
            entry.is_some_and(|entry| entry.number != number || !entry.is_forged(key, interfaces))
        };
        if is_other(&tuple) || (number.is_none() && is_other(&tuple.reversed())) {
            if let Some(entry) = self.entries.get_mut(&tuple).filter(|_| packet.direction == Direction::ToPod)
            {
                entry.forgery_arrived();
            }
            return;
        }
        self.touch(tuple, packet, interfaces, |now| Entry::new(number, now), out, Entry::opened);
    }

    fn forget(&mut self, tuple: &Tuple) {
        if let Some(translation) = self.entries.remove(tuple).as_ref().and_then(Entry::translation) {
            self.nat.remove(translation);
        }
    }

    /// Decides and removes an attempt, because another attempt uses its tuple from now on.
    fn supersede(
        &mut self,
        tuple: &Tuple,
        now: Monotonic,
        interfaces: &PodInterfaces,
        out: &mut Vec<Attempt>,
    ) {
        if let Some(entry) = self.entries.get_mut(tuple) {
            entry.superseded = true;
            let attempt = entry.conclude(tuple, now, &self.losses, interfaces);
            emit(attempt, &mut self.held, out);
            self.forget(tuple);
        }
    }

    fn open(&mut self, packet: &Packet, number: u32, interfaces: &PodInterfaces, out: &mut Vec<Attempt>) {
        let tuple = self.nat.own(packet.tuple);
        let known = self.entries.get(&tuple).is_some_and(|entry| {
            let is_own = is_own(packet, interfaces);
            entry.number == Some(number) && !entry.closed && !(is_own && entry.is_forged(&tuple, interfaces))
        });
        if !known {
            if self.is_unsent(&tuple, packet, interfaces) {
                return self.forgeries.count();
            }
            self.supersede(&tuple, packet.time, interfaces, out);
        }
        if !known || packet.direction == Direction::FromPod {
            self.match_translation(packet, interfaces);
        }
        let tuple = self.nat.own(packet.tuple);
        if matches!(tuple.protocol, Protocol::Icmp | Protocol::Icmpv6) {
            self.renew(&tuple, packet.time);
        }
        self.begin_again(&tuple, packet);
        self.touch(tuple, packet, interfaces, |now| Entry::new(Some(number), now), out, Entry::opened);
    }

    /// Returns whether a packet that arrives would end an attempt that is not decided, although the source, which is a pod
    /// of this node, was not seen to send it.
    fn is_unsent(&self, tuple: &Tuple, packet: &Packet, interfaces: &PodInterfaces) -> bool {
        packet.direction == Direction::ToPod
            && self.entries.get(tuple).is_some_and(|entry| entry.awaits_evidence())
            && interfaces
                .owner(tuple.source.address)
                .is_some_and(|owner| interfaces.sees_arrivals(owner, packet.time))
            && !self.losses.may_touch(tuple.protocol, packet.time)
    }

    /// Begins an attempt anew that was decided long ago, if a packet arrives that shows something else.
    fn begin_again(&mut self, tuple: &Tuple, packet: &Packet) {
        if packet.direction == Direction::ToPod
            && let Some(entry) = self.entries.get_mut(tuple)
            && entry.arrives_late(packet.time, &self.limits)
        {
            entry.begin_again(packet.time);
        }
    }

    fn answer(&mut self, packet: &Packet, interfaces: &PodInterfaces, out: &mut Vec<Attempt>) {
        let mut tuple = self.nat.own(packet.tuple).reversed();
        if packet.direction == Direction::ToPod {
            tuple = self.answered_endpoint(tuple, interfaces);
        }
        if self.entries.get(&tuple).is_some_and(|entry| !entry.is_acknowledged_by(tuple.protocol, packet)) {
            return self.forgeries.count();
        }
        // An answer without a request: the handshake began before the agent started.
        self.touch(tuple, packet, interfaces, Entry::pre_existing, out, Entry::answered);
    }

    fn datagram(&mut self, packet: &Packet, interfaces: &PodInterfaces, out: &mut Vec<Attempt>) {
        let tuple = self.nat.own(packet.tuple);
        let is_own = is_own(packet, interfaces);
        let mut known = None;
        for key in [tuple, tuple.reversed()] {
            let Some(entry) = self.entries.get(&key) else { continue };
            if is_own && entry.is_forged(&key, interfaces) {
                self.supersede(&key, packet.time, interfaces, out);
            } else if key == tuple || self.can_be_answered(&key, interfaces) {
                known = Some(key);
                break;
            }
        }
        match known {
            Some(key) if key != tuple => return self.answer(packet, interfaces, out),
            None if !self.entries.contains_key(&tuple.reversed())
                && self.looks_like_an_answer(packet, interfaces) =>
            {
                return self.answer(packet, interfaces, out);
            }
            _ => {}
        }
        if known.is_none() || packet.direction == Direction::FromPod {
            self.match_translation(packet, interfaces);
        }
        let tuple = self.nat.own(packet.tuple);
        self.renew(&tuple, packet.time);
        self.begin_again(&tuple, packet);
        self.touch(tuple, packet, interfaces, |now| Entry::new(None, now), out, Entry::opened);
        self.note_other_senders(&tuple, packet);
    }

    /// Returns whether a datagram in the other direction can be an answer to an attempt.
    fn can_be_answered(&self, tuple: &Tuple, interfaces: &PodInterfaces) -> bool {
        let Some(entry) = self.entries.get(tuple) else { return false };
        // Of a translated attempt, another endpoint may have answered that was not seen.
        !entry.endpoints().is_empty() || entry.can_be_answered(tuple, interfaces)
    }

    /// Re-evaluates an attempt if that is due. Datagrams and echo requests may continue for days, so their result is
    /// reported from time to time.
    fn renew(&mut self, tuple: &Tuple, now: Monotonic) {
        if let Some(entry) = self.entries.get_mut(tuple)
            && entry.needs_recheck(now, &self.limits)
        {
            entry.renew(now);
        }
    }

    /// Returns whether a datagram is probably an answer: it goes from a service's port to a client's port, soon after
    /// the agent attached to the interface. The request was probably sent before that. A pod that was created after the
    /// agent started has sent nothing before.
    fn looks_like_an_answer(&self, packet: &Packet, interfaces: &PodInterfaces) -> bool {
        let Tuple { source, destination, .. } = packet.tuple;
        let predates_agent = interfaces.get(packet.ifindex).is_some_and(|interface| {
            let until = interface.attached_at + self.limits.startup;
            interface.created_at.is_none() && packet.time < until
        });
        predates_agent
            && !is_forged(packet, interfaces)
            && source.port < FIRST_EPHEMERAL_PORT
            && destination.port >= FIRST_EPHEMERAL_PORT
    }

    /// Processes the end of a connection. If the table has no entry, the connection was forgotten or the packet is
    /// stray; it is ignored.
    fn end(&mut self, packet: &Packet, interfaces: &PodInterfaces, out: &mut Vec<Attempt>) {
        let tuple = self.nat.own(packet.tuple);
        let by_opener = self.entries.contains_key(&tuple);
        let key = self.endpoint(if by_opener { tuple } else { tuple.reversed() });
        let Some(entry) = self.entries.get_mut(&key) else { return };
        if packet.signal == PacketKind::Reset && !by_opener && entry.awaits_evidence() {
            if !entry.is_acknowledged_by(key.protocol, packet) {
                return self.forgeries.count();
            }
            entry.reset(&key, packet, interfaces);
        }
        if by_opener {
            entry.ended_by_opener(&key, packet, interfaces);
        }
        entry.last_seen = entry.last_seen.max(packet.time);
        entry.closed = true;
        let attempt = entry.review(&key, packet.time, &self.losses, interfaces);
        emit(attempt, &mut self.held, out);
        bring_forward(entry, key, &self.limits, &mut self.queue);
        self.close_untranslated(&key);
    }

    /// Processes an ICMP error about an attempt.
    pub fn icmp_error(&mut self, error: &IcmpError, interfaces: &PodInterfaces, out: &mut Vec<Attempt>) {
        let forgery = Forgery::IcmpError(error.quoted);
        match error.direction {
            Direction::FromPod if is_forged_by(error.ifindex, error.reporter, interfaces) => {
                return self.forgeries.sent(forgery, error.time);
            }
            Direction::ToPod if self.forgeries.contains(&forgery, error.time) => return,
            _ => {}
        }
        let tuple = self.endpoint(self.nat.own(error.quoted));
        if let Some(entry) = self.entries.get_mut(&tuple)
            && error.number.is_none_or(|number| entry.number.is_none_or(|own| own == number))
        {
            entry.icmp_error(&tuple, error, interfaces);
            let attempt = entry.review(&tuple, error.time, &self.losses, interfaces);
            emit(attempt, &mut self.held, out);
            bring_forward(entry, tuple, &self.limits, &mut self.queue);
        }
    }

    /// Processes a drop. A drop alone decides nothing, because a retransmission may get through.
    pub fn kernel_drop(&mut self, drop: &KernelDrop, reasons: &DropReasons, interfaces: &PodInterfaces) {
        let place = self.place(drop);
        // What is dropped in another namespace may be another node's, which shares the kernel.
        let may_be_translated = place == DropPlace::Host && !self.knows(drop.tuple);
        if let Some(nat_key) = NatKey::of(&drop.tuple, drop.signal).filter(|_| may_be_translated) {
            self.link(nat_key, drop.tuple, drop.time);
        }
        let own = self.nat.own(drop.tuple);
        for (tuple, reply) in [(own, false), (self.endpoint(own.reversed()), true)] {
            let Some(entry) = self.entries.get_mut(&tuple) else { continue };
            // It may be a datagram that the other side has sent by itself.
            let is_datagram = reply && tuple.protocol == Protocol::Udp;
            if is_datagram && !entry.may_be_answered_by_dropped(&tuple, interfaces) {
                break;
            }
            if entry.is_about(tuple.protocol, drop.signal, reply) && entry.decided.is_none() {
                entry.dropped(drop, place, reply, reasons);
                bring_forward(entry, tuple, &self.limits, &mut self.queue);
            }
            return;
        }
        self.stats.unmatched_drops += 1;
    }

    fn place(&self, drop: &KernelDrop) -> DropPlace {
        match (drop.netns, self.host_netns) {
            (_, None) => DropPlace::Host,
            (None, Some(_)) => DropPlace::Unknown,
            (Some(at), Some(host)) if at == host => DropPlace::Host,
            (Some(_), Some(_)) => DropPlace::Pod,
        }
    }

    /// Returns whether the table has an attempt that a packet with this tuple belongs to.
    fn knows(&self, tuple: Tuple) -> bool {
        let own = self.nat.own(tuple);
        self.entries.contains_key(&own) || self.entries.contains_key(&own.reversed())
    }

    /// Decides and removes what is due. Before the call, all records until `now` must have been processed, and
    /// [`Self::set_lost`] must have been called with the number of lost ones.
    pub fn expire(&mut self, now: Monotonic, interfaces: &PodInterfaces, out: &mut Vec<Attempt>) {
        for mut attempt in self.held.drain(..) {
            attempt.records_lost |= self.losses.may_touch(attempt.tuple.protocol, attempt.began);
            out.push(attempt);
        }
        while let Some((at, tuple)) = self.queue.pop_due(now) {
            let Some(entry) = self.entries.get_mut(&tuple).filter(|entry| entry.scheduled_at == at) else {
                continue;
            };
            if entry.due(tuple.protocol, &self.limits) <= now {
                if entry.decided.is_some() {
                    self.forget(&tuple);
                    continue;
                }
                out.extend(entry.conclude(&tuple, now, &self.losses, interfaces));
            }
            let due = entry.due(tuple.protocol, &self.limits);
            entry.scheduled_at = due.clamp(now + TICK, now + MAX_CHECK_INTERVAL);
            self.queue.push(entry.scheduled_at, tuple);
        }
    }

    /// Finds or creates the entry, changes it, and decides the attempt if the evidence is conclusive.
    fn touch(
        &mut self,
        tuple: Tuple,
        packet: &Packet,
        interfaces: &PodInterfaces,
        new: impl FnOnce(Monotonic) -> Entry,
        out: &mut Vec<Attempt>,
        change: impl FnOnce(&mut Entry, &Tuple, &Packet, &PodInterfaces),
    ) {
        self.make_room(&tuple);
        let entry = match self.entries.entry_ref(&tuple) {
            EntryRef::Occupied(entry) => entry.into_mut(),
            EntryRef::Vacant(vacant) => {
                let mut entry = new(packet.time);
                entry.scheduled_at = packet.time + FIRST_CHECK;
                self.queue.push(entry.scheduled_at, tuple);
                vacant.insert(entry)
            }
        };
        entry.last_seen = entry.last_seen.max(packet.time);
        change(entry, &tuple, packet, interfaces);
        let attempt = entry.review(&tuple, packet.time, &self.losses, interfaces);
        emit(attempt, &mut self.held, out);
        bring_forward(entry, tuple, &self.limits, &mut self.queue);
    }
}

/// Returns whether a packet comes out of the pod that has its source address.
fn is_own(packet: &Packet, interfaces: &PodInterfaces) -> bool {
    packet.direction == Direction::FromPod
        && interfaces.carries(packet.ifindex, packet.tuple.source.address) == Some(true)
}

/// Returns whether a packet comes out of a pod that does not have its source address.
fn is_forged(packet: &Packet, interfaces: &PodInterfaces) -> bool {
    is_forged_by(packet.ifindex, packet.tuple.source.address, interfaces)
}

/// Returns whether the pod behind an interface does not have an address. An interface that is watched on the node may be an
/// uplink: then only the address of a pod shows it.
fn is_forged_by(ifindex: u32, source: IpAddr, interfaces: &PodInterfaces) -> bool {
    let is_inside = || interfaces.get(ifindex).is_some_and(|interface| interface.is_inside);
    interfaces.carries(ifindex, source) == Some(false) && (is_inside() || interfaces.owner(source).is_some())
}

/// Emits an attempt that was decided by a packet that was seen, and holds all others until losses are known. A revised
/// attempt is held too, so that the order is kept.
fn emit(attempt: Option<Attempt>, held: &mut Vec<Attempt>, out: &mut Vec<Attempt>) {
    let Some(attempt) = attempt else { return };
    if attempt.is_positive() && !attempt.revised { out.push(attempt) } else { held.push(attempt) }
}

/// Moves the next check of an entry forward, if a change has made it due much earlier.
fn bring_forward(entry: &mut Entry, tuple: Tuple, limits: &Limits, queue: &mut TimerQueue) {
    let due = entry.due(tuple.protocol, limits);
    if due + SLACK < entry.scheduled_at {
        entry.scheduled_at = due;
        queue.push(due, tuple);
    }
}
