//! Attempts to talk, and making them.

use std::{net::SocketAddr, thread};

use anyhow::{Context as _, Result};

use super::{
    cast::{Cast, Player},
    script::Expected,
};
use crate::netns::{self, Probe};

/// The protocol of a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Protocol {
    Tcp,
    Udp,
}

/// An attempt of one to talk to another.
#[derive(Clone, Debug)]
pub(super) struct Contact {
    pub(super) source: Player,
    /// The address that the source connects to.
    pub(super) to: SocketAddr,
    pub(super) protocol: Protocol,
    /// The source's own port, which no other contact has.
    pub(super) source_port: u16,
    /// The port at the endpoint, after all translations.
    pub(super) port: u16,
    /// Those who may be at its end.
    pub(super) endpoints: Vec<Player>,
    pub(super) expected: Expected,
    /// The way that the packets take.
    pub(super) way: &'static str,
}

impl Contact {
    /// The content of its datagrams, by which they are known wherever their addresses are translated.
    pub(super) fn datagram(&self) -> Vec<u8> {
        format!("netpol {}", self.source_port).into_bytes()
    }

    fn make(&self, namespace: &netns::Namespace) -> Result<netns::Attempt> {
        let probe = match self.protocol {
            Protocol::Tcp => Probe::tcp(self.to.ip(), self.to.port()),
            Protocol::Udp => Probe::udp(self.to.ip(), self.to.port()).payload(&self.datagram()),
        };
        let context = || format!("{} talks to {} ({})", self.source, self.to, self.way);
        probe.from_port(self.source_port).run(namespace).with_context(context)
    }
}

/// Makes all contacts, those of each source one after another. Returns what the sources have seen, in the order of the
/// script.
///
/// # Errors
/// A contact can't be made.
pub(super) fn make_all(cast: &Cast, script: &[Contact]) -> Result<Vec<netns::Attempt>> {
    let mut results: Vec<Option<netns::Attempt>> = vec![None; script.len()];
    let made = thread::scope(|scope| {
        let threads: Vec<_> = cast
            .actors
            .iter()
            .map(|actor| {
                let own = script.iter().enumerate().filter(|(_, contact)| contact.source == actor.member);
                scope.spawn(move || {
                    own.map(|(index, contact)| Ok((index, contact.make(&actor.namespace)?)))
                        .collect::<Result<Vec<_>>>()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
    });
    for made in made {
        let made = made.map_err(|_| anyhow::anyhow!("a thread of a source has panicked"))?;
        for (index, result) in made? {
            results[index] = Some(result);
        }
    }
    results.into_iter().collect::<Option<_>>().context("a contact without a source")
}
