//! Hostile packets: by pods that want to hide their own leaks, and by pods that want others to be blamed.

use std::{net::IpAddr, time::Duration};

use anyhow::Result;
use fastrand::Rng;

use super::{
    cluster::pick,
    member::Member,
    plan::{Activity, Opener, Planned},
    tuple::{Transport, Tuple},
};
use crate::netns::{Pod, packet};

/// From this source port on, packets belong to a flood, and are not judged one by one.
pub(super) const FLOOD_PORTS: u16 = 50_000;

/// The first source port of connections that nobody opens: others forge them.
const FORGED_PORT: u16 = 40_000;

/// No packet of the real sender is as long, so that the sniffers' records tell them apart.
const PAYLOAD: &[u8] = b"not from whom it says it is";

/// The packets of a flood: so many at a time, so often.
const BURST: u16 = 200;
const BURSTS: u16 = 200;
const PAUSE: Duration = Duration::from_millis(10);

/// A hostile deed.
#[derive(Clone, Debug)]
pub(super) struct Attack {
    /// Since the beginning of the traffic.
    pub(super) at: Duration,
    /// The number of the pod that does it.
    by: usize,
    deed: Deed,
}

/// What a hostile pod does.
#[derive(Clone, Debug)]
enum Deed {
    /// Sends a packet.
    Send(Vec<u8>),
    /// Sends SYNs from one address to another, 20,000 a second.
    Flood(IpAddr, IpAddr),
}

/// Deeds beside about half of the planned connections, and perhaps a flood, sorted by time.
pub(super) fn attacks(
    dice: &mut Rng,
    members: &[Member],
    node: [IpAddr; 2],
    plans: &[Planned],
) -> Vec<Attack> {
    let mut attacks = Vec::new();
    for (number, plan) in plans.iter().enumerate() {
        if dice.bool() {
            attacks.extend(beside(dice, members, node, plan, number as u16));
        }
    }
    if dice.bool() {
        attacks.extend(flood(dice, members));
    }
    attacks.sort_by_key(|attack| attack.at);
    attacks
}

impl Attack {
    /// Does it.
    ///
    /// # Errors
    /// The pod that does it is gone.
    pub(super) fn run(&self, pods: &[Pod]) -> Result<()> {
        let pod = &pods[self.by];
        match &self.deed {
            Deed::Send(packet) => pod.send(packet),
            Deed::Flood(from, to) => (0..BURSTS).try_for_each(|burst| {
                let ports = (0..BURST).map(|number| FLOOD_PORTS + (burst * BURST + number) % 15_000);
                let syn = |port| packet::tcp((*from, port).into(), (*to, 80).into(), packet::SYN, b"");
                pod.send_all(&ports.map(syn).collect::<Vec<_>>())?;
                std::thread::sleep(PAUSE);
                Ok(())
            }),
        }
    }
}

/// One deed that is about a connection.
fn beside(
    dice: &mut Rng,
    members: &[Member],
    node: [IpAddr; 2],
    plan: &Planned,
    number: u16,
) -> Option<Attack> {
    let Opener::Member(opener) = plan.opener else { return None };
    let Tuple { from, to, .. } = plan.tuple;
    let receiver = members.iter().position(|member| member.ips.contains(&to.ip()))?;
    let third = dice.usize(..members.len());
    let is_third = third != opener && third != receiver && members[third].is_pod();
    let is_tcp = plan.tuple.transport == Transport::Tcp;
    if !is_tcp && plan.tuple.transport != Transport::Udp || matches!(plan.activity, Activity::Ping) {
        return None;
    }
    let opening = |from, to| {
        if is_tcp { packet::tcp(from, to, packet::SYN, b"") } else { packet::udp(from, to, PAYLOAD) }
    };
    let before = plan.at.saturating_sub(Duration::from_millis(dice.u64(5..40)));
    let after = plan.at + Duration::from_millis(dice.u64(3..60));
    let soon = if dice.bool() { before } else { after };
    let (at, by, packet) = match dice.u8(..7) {
        // A packet of the same tuple that dies on the node.
        0 => (soon, opener, packet::with_ttl(opening(from, to), 1)),
        // The receiver seems to have begun.
        1 => (before, receiver, packet::with_ttl(packet::udp(to, from, PAYLOAD), 1)),
        // The opener itself pretends to have been refused.
        2 => (after, opener, packet::tcp(to, from, packet::RST | packet::ACK, b"")),
        _ if !is_third => return None,
        // Somebody pretends that it was refused, or answered.
        3 => (after, third, packet::tcp(to, from, packet::RST | packet::ACK, b"")),
        4 if is_tcp => (after, third, packet::tcp(to, from, packet::SYN | packet::ACK, b"")),
        4 => (after, third, packet::udp(to, from, PAYLOAD)),
        5 => {
            let blamed = *pick(dice, &[to.ip(), node[usize::from(to.is_ipv6())]]);
            (after, third, packet::prohibited(blamed, from.ip(), &opening(from, to)))
        }
        // Somebody pretends to be the opener of another connection.
        _ => (soon, third, opening((from.ip(), FORGED_PORT + number).into(), to)),
    };
    Some(Attack { at, by, deed: Deed::Send(packet) })
}

fn flood(dice: &mut Rng, members: &[Member]) -> Option<Attack> {
    let pods: Vec<usize> = (0..members.len()).filter(|number| members[*number].is_pod()).collect();
    let (by, victim) = (*pick(dice, &pods), *pick(dice, &pods));
    let from = *pick(dice, &members[by].ips);
    let to = members[victim].ip(from.is_ipv6()).filter(|_| by != victim)?;
    let at = Duration::from_millis(dice.u64(1000..5000));
    Some(Attack { at, by, deed: Deed::Flood(from, to) })
}
