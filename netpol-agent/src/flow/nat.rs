//! Address translation: a packet has one tuple at its sender, and another one after the translation. This module finds
//! the attempt that a translated packet belongs to.

use std::collections::VecDeque;

use hashbrown::HashMap;

use crate::model::{PacketKind, Protocol, SocketAddress, Tuple};

/// The number of opening packets that are remembered until their translated form is seen, which takes microseconds.
const MAX_REMEMBERED: usize = 4096;

/// The part of an opening packet that destination translation does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum NatKey {
    /// The initial sequence number of TCP. It does not change when the source is translated, either.
    Number(u32),
    /// The protocol and the sender, where there is no such number.
    Sender(Protocol, SocketAddress),
    /// The protocol, the sender's port and the destination: what usually stays when the node puts its own address in the
    /// sender's place.
    Port(Protocol, u16, SocketAddress),
}

impl NatKey {
    /// Returns the key of a packet; `None` for data, answers, and protocols that are not translated to endpoints.
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

impl NatKey {
    /// Returns the key of a datagram whose sender's address is translated.
    pub(super) fn of_port(tuple: &Tuple) -> Option<Self> {
        let key = Self::Port(tuple.protocol, tuple.source.port, tuple.destination);
        (tuple.protocol == Protocol::Udp).then_some(key)
    }
}

/// The two tuples of a translated attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NatMapping {
    /// The tuple at the opener's interface.
    pub(super) sent: Tuple,
    /// The tuple after the translation. If the source was translated too, its source is not the opener.
    pub(super) seen: Tuple,
}

impl NatMapping {
    /// Returns the attempt's own tuple: from the real opener to the real destination.
    pub(super) fn tuple(&self) -> Tuple {
        Tuple { source: self.sent.source, ..self.seen }
    }

    /// Returns the address that the opener used, if it differs from the destination.
    pub(super) fn service_address(&self) -> Option<SocketAddress> {
        (self.sent.destination != self.seen.destination).then_some(self.sent.destination)
    }
}

/// The address translation of an attempt.
#[derive(Debug)]
pub(super) enum Translation {
    /// The attempt was sent to another address, and this is its translated form.
    From(NatMapping),
    /// These are the attempt's translated forms, the latest last. A retransmission may go to another endpoint.
    To(Vec<Tuple>),
}

/// The translations of all attempts in the table.
#[derive(Debug, Default)]
pub(super) struct NatTable {
    /// Opening packets to destinations other than this node's pods, by key; `None` if several have the same key.
    sent: HashMap<NatKey, Option<Tuple>>,
    /// The keys, oldest first.
    order: VecDeque<NatKey>,
    /// The attempt's own tuple, by the other tuples of the same attempt.
    own: HashMap<Tuple, Tuple>,
}

impl NatTable {
    /// Returns the attempt's own tuple for any of its tuples, in either direction. Returns other tuples unchanged.
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
        if self.order.len() >= MAX_REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.sent.remove(&oldest);
        }
        self.order.push_back(nat_key);
        self.sent.insert(nat_key, Some(sent));
    }

    /// Returns the only attempt that a packet with this key can belong to.
    pub(super) fn candidate(&self, nat_key: NatKey) -> Option<Tuple> {
        if self.sent.is_empty() { None } else { *self.sent.get(&nat_key)? }
    }

    /// Returns whether an opening packet with this key was sent to a destination other than this node's pods.
    pub(super) fn has_sent(&self, nat_key: NatKey) -> bool {
        self.sent.contains_key(&nat_key)
    }

    /// Adds a translation: from now on the translated tuple refers to the attempt's own.
    pub(super) fn add(&mut self, translation: &NatMapping) {
        let own = translation.tuple();
        if translation.seen != own {
            self.own.insert(translation.seen, own);
        }
    }

    /// Returns the number of tuples that refer to another one.
    #[cfg(test)]
    pub(super) fn alias_count(&self) -> usize {
        self.own.len()
    }

    /// Removes a translation, when its attempt is removed.
    pub(super) fn remove(&mut self, translation: &NatMapping) {
        self.own.remove(&translation.seen);
    }
}
