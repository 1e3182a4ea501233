//! Translated packets in the flow table: which attempt they belong to.

use super::{FIRST_CHECK, FlowTable, bring_forward};
use crate::{
    flow::{
        entry::Entry,
        nat::{NatKey, NatMapping},
    },
    identity::PodInterfaces,
    model::{Direction, Monotonic, Packet, Tuple},
};

impl FlowTable {
    /// Matches opening packets with their translated form. A packet to a destination other than this node's pods may be
    /// seen again in translated form. A packet that enters a pod, and that no pod sent, may be that form.
    pub(super) fn match_translation(&mut self, packet: &Packet, interfaces: &PodInterfaces) {
        let tuple = packet.tuple;
        let Some(nat_key) = NatKey::of(&tuple, Some(packet.signal)) else { return };
        match packet.direction {
            Direction::FromPod if interfaces.owner(tuple.destination.address).is_none() => {
                self.nat.remember(nat_key, tuple);
                if let Some(nat_key) = NatKey::of_port(&tuple) {
                    self.nat.remember(nat_key, tuple);
                }
            }
            Direction::FromPod => {}
            Direction::ToPod => self.link(nat_key, tuple, packet.time),
        }
    }

    /// Finds the attempt that a translated packet belongs to, and creates the attempt's translated form.
    pub(super) fn link(&mut self, nat_key: NatKey, seen: Tuple, now: Monotonic) {
        let Some(sent) = self.nat.candidate(nat_key) else { return };
        let mapping = NatMapping { sent, seen };
        let own = mapping.tuple();
        if own == sent {
            // Only the source was translated.
            let may_be_translated = self
                .entries
                .get_mut(&sent)
                .filter(|entry| entry.may_be_translated(seen.protocol, now, &self.losses));
            if seen != sent && may_be_translated.is_some_and(|entry| entry.source_translated(mapping)) {
                self.nat.add(&mapping);
            }
            return;
        }
        let is_free = !self.entries.contains_key(&own);
        let same_family = sent.destination.address.is_ipv4() == seen.destination.address.is_ipv4();
        let Some(entry) = self.entries.get_mut(&sent) else { return };
        let number_matches =
            !matches!(nat_key, NatKey::Number(_)) || entry.number.map(NatKey::Number) == Some(nat_key);
        if !(number_matches
            && same_family
            && is_free
            && entry.may_be_translated(seen.protocol, now, &self.losses))
        {
            return;
        }
        let mut translated = entry.translated_to(mapping);
        translated.scheduled_at = now + FIRST_CHECK;
        self.nat.add(&mapping);
        self.make_room(&own);
        self.queue.push(translated.scheduled_at, own);
        self.entries.insert(own, translated);
    }

    /// Returns the attempt that a packet belongs to which leaves the node.
    pub(super) fn leaving(&mut self, packet: &Packet, interfaces: &PodInterfaces) -> Option<Tuple> {
        let known = self.nat.own(packet.tuple);
        if !self.entries.contains_key(&known) {
            let nat_key = if interfaces.host().contains(&packet.tuple.source.address) {
                NatKey::of_port(&packet.tuple).or(NatKey::of(&packet.tuple, Some(packet.signal)))
            } else {
                NatKey::of(&packet.tuple, Some(packet.signal))
            };
            self.link(nat_key?, packet.tuple, packet.time);
        }
        let own = self.nat.own(packet.tuple);
        self.entries.contains_key(&own).then_some(own)
    }

    /// Returns the translated form of an attempt that a packet at the opener's interface belongs to: the one whose answer
    /// is on its way, otherwise the latest. A packet of an attempt that is not translated belongs to the attempt itself.
    pub(super) fn endpoint(&self, tuple: Tuple) -> Tuple {
        let Some(entry) = self.entries.get(&tuple) else { return tuple };
        let endpoints = entry.endpoints();
        let awaits =
            |endpoint: &&Tuple| self.entries.get(*endpoint).is_some_and(Entry::has_unreceived_answer);
        endpoints.iter().rev().find(awaits).or(endpoints.last()).copied().unwrap_or(tuple)
    }

    /// Returns the attempt that an answer at the opener's interface is for. If the endpoint that was seen can't have sent
    /// it, another one did, which was not seen.
    pub(super) fn answered_endpoint(&self, tuple: Tuple, interfaces: &PodInterfaces) -> Tuple {
        let endpoint = self.endpoint(tuple);
        let Some(entry) = self.entries.get(&endpoint).filter(|_| endpoint != tuple) else { return tuple };
        let is_local = interfaces.owner(endpoint.destination.address).is_some();
        let can_have_answered = if is_local { entry.has_answered() } else { !entry.seems_stopped() };
        if can_have_answered { endpoint } else { tuple }
    }

    /// Notes that a datagram that arrives may have been sent to one of several Services, and nobody knows to which.
    pub(super) fn note_other_senders(&mut self, tuple: &Tuple, packet: &Packet) {
        if packet.direction == Direction::ToPod
            && let Some(nat_key) = NatKey::of(&packet.tuple, Some(packet.signal))
            && self.nat.has_sent(nat_key)
            && let Some(entry) = self.entries.get_mut(tuple)
        {
            entry.set_may_be_translated();
        }
    }

    /// Closes the attempt of which a closed one is the translated form.
    pub(super) fn close_untranslated(&mut self, tuple: &Tuple) {
        let sent = self.entries.get(tuple).and_then(Entry::translation).map(|mapping| mapping.sent);
        let Some(sent) = sent.filter(|sent| sent != tuple) else { return };
        if let Some(entry) = self.entries.get_mut(&sent) {
            entry.close_translated();
            bring_forward(entry, sent, &self.limits, &mut self.queue);
        }
    }
}
