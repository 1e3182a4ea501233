//! All attempts of late, within a fixed bound.

use std::time::Duration;

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
    entry::{DropPlace, Entry, RESET_WAIT},
    losses::Losses,
    nat::{NatKey, NatMapping, NatTable},
    timer_queue::TimerQueue,
};

/// How much is remembered, and for how long.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// Attempts in the table; one more pushes out another.
    pub entries: usize,
    /// From an enforcer's drop, or a one-way datagram's delivery, to the decision: the time in which the first TCP
    /// retransmission (1 s, RFC 6298) may still get through.
    pub settle: Duration,
    /// From the first packet to the decision that nobody answers.
    pub unanswered: Duration,
    /// Without a packet, until a decided attempt is forgotten. Longer than the gap before the last but one SYN
    /// retransmission of Linux (32 s with `tcp_syn_retries` = 6), so that those do not look like new attempts.
    pub idle: Duration,
    /// Without a datagram, until an answered UDP conversation is forgotten: not before those who enforce forget it, for
    /// until then either side may go on. Connection tracking takes 120 s (`nf_conntrack_udp_timeout_stream`), and a
    /// datagram may be recorded 5 s late.
    pub answered: Duration,
    /// Without a control packet, until an established TCP or SCTP connection is forgotten.
    pub established: Duration,
    /// From the begin of an attempt that has packets all the time, and no control packets, until it is looked at anew.
    pub renew: Duration,
    /// From the end of a connection until it is forgotten.
    pub closed: Duration,
    /// After the agent came to a veth that was there before it: how long a datagram that looks like an answer is taken
    /// for one. As long as an answered conversation is remembered.
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

/// When a new attempt is looked at first: most connections are over by then, and their place is free again.
const FIRST_LOOK: Duration = seconds(1);

/// How far apart two calls of [`FlowTable::expire`] are, at most.
const EXPIRE_INTERVAL: Duration = seconds(1);

/// No attempt waits longer in the queue before it is looked at, so that items of attempts that are gone do not
/// gather there.
const HORIZON: Duration = seconds(10);

/// The smallest step of the clock: what is looked at now is looked at later again.
const TICK: Duration = Duration::from_nanos(1);

/// An attempt that is due earlier than it will be looked at is put into the queue once more only if that saves more
/// than this.
const SLACK: Duration = Duration::from_millis(250);

/// How many undecided attempts are passed over to find a decided one to push out.
const EVICTION_TRIES: usize = 32;

/// Lowest port that Linux gives to clients by default (`net.ipv4.ip_local_port_range`).
const FIRST_EPHEMERAL_PORT: u16 = 32_768;

/// What the table has done, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowStats {
    /// Decided attempts pushed out by newer ones: their end goes unseen.
    pub evicted: u64,
    /// Undecided attempts pushed out: their fate is not known.
    pub evicted_undecided: u64,
    /// Drops that belong to no attempt in the table.
    pub unmatched_drops: u64,
}

/// The table.
#[derive(Debug)]
pub struct FlowTable {
    limits: Limits,
    entries: HashMap<Tuple, Entry>,
    /// When to look at which; each entry has one valid item in it.
    queue: TimerQueue,
    nat: NatTable,
    losses: Losses,
    /// Decided, but by something that was not seen: handed out once it is known whether records were lost until then.
    held: Vec<Attempt>,
    /// Inode of the host's network namespace.
    host_netns: Option<u32>,
    stats: FlowStats,
}

impl FlowTable {
    /// The longest time from the begin of an attempt to the decision on it, where the table is looked at several times a
    /// second.
    #[must_use]
    pub fn max_delay(limits: &Limits) -> Duration {
        limits.unanswered + limits.settle + RESET_WAIT + SLACK + EXPIRE_INTERVAL
    }

    /// An empty table. `host_netns` is the inode of the network namespace in which enforcers act: a drop in another
    /// one is a pod's own.
    #[must_use]
    pub fn new(limits: Limits, host_netns: Option<u32>) -> Self {
        Self {
            limits,
            entries: HashMap::new(),
            queue: TimerQueue::default(),
            nat: NatTable::default(),
            losses: Losses::default(),
            held: Vec::new(),
            host_netns,
            stats: FlowStats::default(),
        }
    }

    /// Attempts in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Tuples that stand for an attempt's own one.
    #[cfg(test)]
    pub(super) fn forms(&self) -> usize {
        self.nat.forms()
    }

    /// What it has done.
    #[must_use]
    pub fn stats(&self) -> FlowStats {
        self.stats
    }

    /// Tells how many records the kernel has lost until now.
    pub fn set_lost(&mut self, lost: u64, now: Monotonic) {
        self.losses.note(lost, now);
    }

    /// When [`Self::expire`] has something to do next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Monotonic> {
        self.queue.next()
    }

    /// Takes in a packet; hands out the attempts that it decides.
    pub fn packet(&mut self, packet: &Packet, interfaces: &PodInterfaces, out: &mut Vec<Attempt>) {
        match packet.signal {
            PacketKind::Open(number) => self.open(packet, number, interfaces, out),
            PacketKind::Datagram => self.datagram(packet, interfaces, out),
            // What a pod makes up in the name of another one is no answer, and no end.
            PacketKind::Accept | PacketKind::Reset | PacketKind::Close if is_forged(packet, interfaces) => {}
            PacketKind::Accept => self.answer(packet, interfaces, out),
            PacketKind::Reset | PacketKind::Close => self.end(packet, interfaces, out),
        }
    }

    /// A new packet to somewhere beyond this node's pods may be seen again in translated form; one into a pod that no
    /// pod sent may be just that.
    fn learn(&mut self, packet: &Packet, interfaces: &PodInterfaces) {
        let tuple = packet.tuple;
        let Some(nat_key) = NatKey::of(&tuple, Some(packet.signal)) else { return };
        match packet.direction {
            Direction::FromPod if interfaces.owner(tuple.destination.address).is_none() => {
                self.nat.remember(nat_key, tuple);
            }
            Direction::FromPod => {}
            Direction::ToPod => self.link(nat_key, tuple, packet.time),
        }
    }

    /// Finds the attempt that a packet belongs to in translated form.
    fn link(&mut self, nat_key: NatKey, seen: Tuple, now: Monotonic) {
        let Some(sent) = self.nat.candidate(nat_key) else { return };
        let translation = NatMapping { sent, seen };
        let own = translation.tuple();
        let Some(entry) = self.entries.get(&sent) else { return };
        let is_it =
            matches!(nat_key, NatKey::Sender(..)) || entry.number.map(NatKey::Number) == Some(nat_key);
        let fits = sent.destination.address.is_ipv4() == seen.destination.address.is_ipv4();
        let free = own == sent || !self.entries.contains_key(&own);
        if !(is_it && fits && free && entry.may_be_translated(seen.protocol, now, &self.losses)) {
            return;
        }
        if let Some(mut entry) = self.entries.remove(&sent) {
            entry.translated(translation);
            self.nat.add(&translation);
            self.queue.push(entry.armed, own);
            self.entries.insert(own, entry);
        }
    }

    fn forget(&mut self, tuple: &Tuple) {
        if let Some(translation) = self.entries.remove(tuple).as_ref().and_then(Entry::translation) {
            self.nat.remove(translation);
        }
    }

    /// The tuple stands for another attempt from now on.
    fn overtake(
        &mut self,
        tuple: &Tuple,
        now: Monotonic,
        interfaces: &PodInterfaces,
        out: &mut Vec<Attempt>,
    ) {
        if let Some(entry) = self.entries.get_mut(tuple) {
            entry.overtaken = true;
            let attempt = entry.conclude(tuple, now, &self.losses, interfaces);
            emit(attempt, &mut self.held, out);
            self.forget(tuple);
        }
    }

    fn open(&mut self, packet: &Packet, number: u32, interfaces: &PodInterfaces, out: &mut Vec<Attempt>) {
        let tuple = self.nat.own(packet.tuple);
        let is_own = is_own(packet, interfaces);
        let known = self.entries.get(&tuple).is_some_and(|entry| {
            entry.number == Some(number) && !entry.closed && !(is_own && entry.is_forged(&tuple, interfaces))
        });
        if !known {
            self.overtake(&tuple, packet.time, interfaces, out);
            self.learn(packet, interfaces);
        }
        let tuple = self.nat.own(packet.tuple);
        if matches!(tuple.protocol, Protocol::Icmp | Protocol::Icmpv6) {
            self.renew(&tuple, packet.time);
        }
        self.touch(tuple, packet, interfaces, |now| Entry::new(Some(number), now), out, Entry::opened);
    }

    fn answer(&mut self, packet: &Packet, interfaces: &PodInterfaces, out: &mut Vec<Attempt>) {
        let tuple = self.nat.own(packet.tuple).reversed();
        // An answer to something never seen: the handshake began before the agent did.
        self.touch(tuple, packet, interfaces, Entry::pre_existing, out, Entry::answered);
    }

    fn datagram(&mut self, packet: &Packet, interfaces: &PodInterfaces, out: &mut Vec<Attempt>) {
        let tuple = self.nat.own(packet.tuple);
        let is_own = is_own(packet, interfaces);
        let mut known = None;
        for key in [tuple.reversed(), tuple] {
            let Some(entry) = self.entries.get(&key) else { continue };
            if is_own && entry.is_forged(&key, interfaces) {
                self.overtake(&key, packet.time, interfaces, out);
            } else {
                known = Some(key);
                break;
            }
        }
        match known {
            Some(key) if key != tuple => return self.answer(packet, interfaces, out),
            Some(_) => {}
            None if self.looks_like_an_answer(packet, interfaces) => {
                return self.answer(packet, interfaces, out);
            }
            None => self.learn(packet, interfaces),
        }
        let tuple = self.nat.own(packet.tuple);
        self.renew(&tuple, packet.time);
        self.touch(tuple, packet, interfaces, |now| Entry::new(None, now), out, Entry::opened);
    }

    /// Datagrams and echo requests may go on for days: what becomes of them is told from time to time.
    fn renew(&mut self, tuple: &Tuple, now: Monotonic) {
        if let Some(entry) = self.entries.get_mut(tuple)
            && entry.is_to_be_renewed(now, &self.limits)
        {
            entry.renew(now);
        }
    }

    /// A datagram from a service's port to a client's, soon after the agent came to the veth: the question was probably
    /// asked before that. A pod that came later than the agent has asked nothing before.
    fn looks_like_an_answer(&self, packet: &Packet, interfaces: &PodInterfaces) -> bool {
        let Tuple { source, destination, .. } = packet.tuple;
        let before_us = interfaces.get(packet.ifindex).is_some_and(|veth| {
            let until = veth.attached_at + self.limits.startup;
            veth.created_at.is_none() && packet.time < until
        });
        before_us
            && !is_forged(packet, interfaces)
            && source.port < FIRST_EPHEMERAL_PORT
            && destination.port >= FIRST_EPHEMERAL_PORT
    }

    /// What is not in the table is a connection that it has forgotten, or was a stray packet: its end tells nothing.
    fn end(&mut self, packet: &Packet, interfaces: &PodInterfaces, out: &mut Vec<Attempt>) {
        let tuple = self.nat.own(packet.tuple);
        let by_opener = self.entries.contains_key(&tuple);
        let key = if by_opener { tuple } else { tuple.reversed() };
        let Some(entry) = self.entries.get_mut(&key) else { return };
        entry.last_seen = entry.last_seen.max(packet.time);
        if packet.signal == PacketKind::Reset && !by_opener {
            entry.reset(&key, packet, interfaces);
        }
        entry.closed = true;
        let attempt = entry.review(&key, packet.time, &self.losses, interfaces);
        emit(attempt, &mut self.held, out);
        bring_forward(entry, key, &self.limits, &mut self.queue);
    }

    /// Takes in an ICMP error about an attempt.
    pub fn icmp_error(&mut self, error: &IcmpError, interfaces: &PodInterfaces, out: &mut Vec<Attempt>) {
        let tuple = self.nat.own(error.quoted);
        if let Some(entry) = self.entries.get_mut(&tuple) {
            entry.icmp_error(&tuple, error, interfaces);
            let attempt = entry.review(&tuple, error.time, &self.losses, interfaces);
            emit(attempt, &mut self.held, out);
            bring_forward(entry, tuple, &self.limits, &mut self.queue);
        }
    }

    /// Takes in a drop; it decides nothing by itself, for a retransmission may get through.
    pub fn kernel_drop(&mut self, drop: &KernelDrop, reasons: &DropReasons) {
        if let Some(nat_key) = NatKey::of(&drop.tuple, drop.signal).filter(|_| !self.knows(drop.tuple)) {
            self.link(nat_key, drop.tuple, drop.time);
        }
        let place = self.place(drop);
        let own = self.nat.own(drop.tuple);
        for (tuple, reply) in [(own, false), (own.reversed(), true)] {
            let Some(entry) = self.entries.get_mut(&tuple) else { continue };
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

    /// Whether there is an attempt that a packet belongs to.
    fn knows(&self, tuple: Tuple) -> bool {
        let own = self.nat.own(tuple);
        self.entries.contains_key(&own) || self.entries.contains_key(&own.reversed())
    }

    /// Decides and forgets what is due. All records until `now` have been taken in, and [`Self::set_lost`] has told
    /// of those that are missing.
    pub fn expire(&mut self, now: Monotonic, interfaces: &PodInterfaces, out: &mut Vec<Attempt>) {
        for mut attempt in self.held.drain(..) {
            attempt.records_lost |= self.losses.may_touch(attempt.tuple.protocol, attempt.began);
            out.push(attempt);
        }
        while let Some((at, tuple)) = self.queue.pop_due(now) {
            let Some(entry) = self.entries.get_mut(&tuple).filter(|entry| entry.armed == at) else {
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
            entry.armed = due.clamp(now + TICK, now + HORIZON);
            self.queue.push(entry.armed, tuple);
        }
    }

    /// Finds or makes the entry, changes it, and decides it if that is enough.
    fn touch(
        &mut self,
        tuple: Tuple,
        packet: &Packet,
        interfaces: &PodInterfaces,
        new: impl FnOnce(Monotonic) -> Entry,
        out: &mut Vec<Attempt>,
        change: impl FnOnce(&mut Entry, &Tuple, &Packet, &PodInterfaces),
    ) {
        if self.entries.len() >= self.limits.entries && !self.entries.contains_key(&tuple) {
            self.evict();
        }
        let entry = match self.entries.entry_ref(&tuple) {
            EntryRef::Occupied(entry) => entry.into_mut(),
            EntryRef::Vacant(vacant) => {
                let mut entry = new(packet.time);
                entry.armed = packet.time + FIRST_LOOK;
                self.queue.push(entry.armed, tuple);
                vacant.insert(entry)
            }
        };
        entry.last_seen = entry.last_seen.max(packet.time);
        change(entry, &tuple, packet, interfaces);
        let attempt = entry.review(&tuple, packet.time, &self.losses, interfaces);
        emit(attempt, &mut self.held, out);
        bring_forward(entry, tuple, &self.limits, &mut self.queue);
    }

    /// Makes room for one: a decided attempt if there is one among those that would be looked at next, else the one
    /// that would be looked at first.
    fn evict(&mut self) {
        let mut passed = Vec::new();
        while let Some((at, tuple)) = self.queue.pop() {
            let Some(entry) = self.entries.get(&tuple).filter(|entry| entry.armed == at) else { continue };
            if entry.decided.is_some() {
                self.forget(&tuple);
                self.stats.evicted += 1;
                break;
            }
            passed.push((at, tuple));
            if passed.len() == EVICTION_TRIES {
                break;
            }
        }
        let found_none = self.entries.len() >= self.limits.entries;
        for (index, (at, tuple)) in passed.into_iter().enumerate() {
            if found_none && index == 0 {
                self.forget(&tuple);
                self.stats.evicted_undecided += 1;
            } else {
                self.queue.push(at, tuple);
            }
        }
    }
}

/// Whether a packet comes out of the pod that has its source address.
fn is_own(packet: &Packet, interfaces: &PodInterfaces) -> bool {
    packet.direction == Direction::FromPod
        && interfaces.carries(packet.ifindex, packet.tuple.source.address) == Some(true)
}

/// Whether a packet comes out of a pod, with the address of another pod on this node.
fn is_forged(packet: &Packet, interfaces: &PodInterfaces) -> bool {
    let source = packet.tuple.source.address;
    packet.direction == Direction::FromPod
        && interfaces.carries(packet.ifindex, source) == Some(false)
        && interfaces.owner(source).is_some()
}

/// Hands out what was decided by something that was seen, and keeps the rest until losses are known; in their order,
/// where the same attempt is decided anew.
fn emit(attempt: Option<Attempt>, held: &mut Vec<Attempt>, out: &mut Vec<Attempt>) {
    let Some(attempt) = attempt else { return };
    if attempt.is_positive() && !attempt.revised { out.push(attempt) } else { held.push(attempt) }
}

/// After a change: an entry may be due much earlier than it would be looked at.
fn bring_forward(entry: &mut Entry, tuple: Tuple, limits: &Limits, queue: &mut TimerQueue) {
    let due = entry.due(tuple.protocol, limits);
    if due + SLACK < entry.armed {
        entry.armed = due;
        queue.push(due, tuple);
    }
}
