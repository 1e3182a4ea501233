//! What became of a contact.

use std::{collections::HashMap, net::SocketAddr};

use super::{
    cast::Player,
    contact::{Contact, Protocol},
    sniffer::{Sighting, Trace},
};

/// All sightings, by what no translation of addresses changes.
pub(super) struct Sightings<'a> {
    by_mark: HashMap<&'a Trace, Vec<&'a Sighting>>,
    /// Of TCP, the sources' own packets by their ports.
    sent: HashMap<(Player, u16), &'a Trace>,
}

impl<'a> Sightings<'a> {
    pub(super) fn new(all: &'a [Sighting]) -> Self {
        let mut sightings = Self { by_mark: HashMap::new(), sent: HashMap::new() };
        for sighting in all {
            sightings.by_mark.entry(&sighting.mark).or_default().push(sighting);
            if !sighting.is_inbound && sighting.protocol == Protocol::Tcp {
                sightings.sent.entry((sighting.at, sighting.source.port())).or_insert(&sighting.mark);
            }
        }
        sightings
    }

    /// The sightings of a contact's first packet, wherever it got.
    pub(super) fn of(&self, contact: &Contact) -> &[&'a Sighting] {
        let content = Trace::Content(contact.datagram());
        let mark = match contact.protocol {
            Protocol::Tcp => self.sent.get(&(contact.source, contact.source_port)).copied(),
            Protocol::Udp => Some(&content),
        };
        mark.and_then(|mark| self.by_mark.get(mark)).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The endpoint that the first packet of a contact has come into, with the source address that it had there. On its way,
/// it may have been seen on nodes.
pub(super) fn arrival(contact: &Contact, sightings: &[&Sighting]) -> Option<(Player, SocketAddr)> {
    let has_arrived = |sighting: &&&Sighting| {
        sighting.is_inbound
            && sighting.destination.port() == contact.port
            && contact.endpoints.contains(&sighting.at)
    };
    sightings.iter().find(has_arrived).map(|sighting| (sighting.at, sighting.source))
}
