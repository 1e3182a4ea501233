//! What address translation does to an attempt: one packet has one tuple where its sender is, and another one beyond.

use std::collections::VecDeque;

use hashbrown::HashMap;

use crate::model::{PacketKind, Protocol, SocketAddress, Tuple};

/// Opening packets that are remembered until their translated form is seen, microseconds later if at all.
const REMEMBERED: usize = 4096;

/// What of an opening packet a translation of its destination leaves alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum NatKey {
    /// TCP's initial sequence number. It stays when the source is translated, too.
    Number(u32),
    /// Who sent it, where there is no such number.
    Sender(Protocol, SocketAddress),
}

impl NatKey {
    /// The clue that a packet bears; data, answers and protocols that are not translated to endpoints bear none.
    pub(super) fn of(tuple: &Tuple, signal: Option<PacketKind>) -> Option<Self> {
        match (tuple.protocol, signal) {
            (Protocol::Tcp, Some(PacketKind::Open(number))) => Some(Self::Number(number)),
            (Protocol::Sctp, Some(PacketKind::Open(_))) | (Protocol::Udp, _) => {
                Some(Self::Sender(tuple.protocol, tuple.source))
            }
            _ => None,
        }
    }
}

/// How an attempt's packets look elsewhere than in its tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NatMapping {
    /// The tuple at the opener's veth.
    pub(super) sent: Tuple,
    /// The tuple beyond the translation. Its source is not the opener where that was translated as well.
    pub(super) seen: Tuple,
}

impl NatMapping {
    /// The attempt's own tuple: from the true opener to the true destination.
    pub(super) fn tuple(&self) -> Tuple {
        Tuple { source: self.sent.source, ..self.seen }
    }

    /// Whom the opener addressed, where that is not who was to answer.
    pub(super) fn service_address(&self) -> Option<SocketAddress> {
        (self.sent.destination != self.seen.destination).then_some(self.sent.destination)
    }
}

/// The translations of all attempts in the table.
#[derive(Debug, Default)]
pub(super) struct NatTable {
    /// Attempts to somewhere beyond this node's pods, by clue; `None` where more than one has it.
    sent: HashMap<NatKey, Option<Tuple>>,
    /// The clues in the order in which they came.
    order: VecDeque<NatKey>,
    /// From other forms of an attempt's tuple to its own.
    own: HashMap<Tuple, Tuple>,
}

impl NatTable {
    /// The attempt's own tuple for a tuple in any of its forms.
    pub(super) fn own(&self, tuple: Tuple) -> Tuple {
        if self.own.is_empty() {
            return tuple;
        }
        if let Some(own) = self.own.get(&tuple) {
            return *own;
        }
        self.own.get(&tuple.reversed()).map_or(tuple, |own| own.reversed())
    }

    /// Remembers an opening packet as it was sent.
    pub(super) fn remember(&mut self, nat_key: NatKey, sent: Tuple) {
        if let Some(known) = self.sent.get_mut(&nat_key) {
            if *known != Some(sent) {
                *known = None;
            }
            return;
        }
        if self.order.len() == REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.sent.remove(&oldest);
        }
        self.order.push_back(nat_key);
        self.sent.insert(nat_key, Some(sent));
    }

    /// The one attempt that a packet with this clue may belong to.
    pub(super) fn candidate(&self, nat_key: NatKey) -> Option<Tuple> {
        if self.sent.is_empty() { None } else { *self.sent.get(&nat_key)? }
    }

    /// From now on, all forms of its tuple stand for the attempt.
    pub(super) fn add(&mut self, translation: &NatMapping) {
        let own = translation.tuple();
        for form in [translation.sent, translation.seen] {
            if form != own {
                self.own.insert(form, own);
            }
        }
    }

    /// How many tuples stand for others.
    #[cfg(test)]
    pub(super) fn forms(&self) -> usize {
        self.own.len()
    }

    /// The attempt is gone.
    pub(super) fn remove(&mut self, translation: &NatMapping) {
        self.own.remove(&translation.sent);
        self.own.remove(&translation.seen);
    }
}
