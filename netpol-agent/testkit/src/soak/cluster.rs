//! A random cluster: policies and Services for the members of a round.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use fastrand::Rng;

use super::{
    enforcer::PORTS,
    member::{LABELS, Member, NAMESPACES},
    policy::{Admission, Label, Peer, Policy, PortRange},
    service::Service,
    tuple::Transport,
};

/// One to five policies.
pub(super) fn policies(dice: &mut Rng, members: &[Member]) -> Vec<Policy> {
    (0..dice.usize(1..=5)).map(|number| policy(dice, members, number)).collect()
}

fn policy(dice: &mut Rng, members: &[Member], number: usize) -> Policy {
    let directions = dice.u8(..4);
    let namespace = pick(dice, &NAMESPACES).0;
    let selects = dice.bool().then(|| label(dice));
    let ingress = (directions != 0).then(|| rules(dice, members));
    let egress = (directions != 1).then(|| rules(dice, members));
    // Most pods shall still be able to do something: half of the policies isolate for one direction only.
    let (ingress, egress) = match directions {
        2 => (ingress, None),
        _ => (ingress, egress),
    };
    Policy { name: format!("policy-{number}"), namespace, selects, ingress, egress }
}

fn rules(dice: &mut Rng, members: &[Member]) -> Vec<Admission> {
    (0..dice.usize(0..=3)).map(|_| admission(dice, members)).collect()
}

fn admission(dice: &mut Rng, members: &[Member]) -> Admission {
    let peers = if dice.u8(..5) == 0 { 0 } else { dice.usize(1..=2) };
    let ports = if dice.u8(..3) == 0 { 0 } else { dice.usize(1..=3) };
    Admission {
        peers: (0..peers).map(|_| peer(dice, members)).collect(),
        ports: (0..ports).map(|_| port_range(dice)).collect(),
    }
}

fn peer(dice: &mut Rng, members: &[Member]) -> Peer {
    let pods = dice.bool().then(|| label(dice));
    match dice.u8(..5) {
        0 | 1 => Peer::Own { pods },
        2 => Peer::Namespaces { namespaces: Some(pick(dice, &NAMESPACES).1), pods },
        3 => Peer::Namespaces { namespaces: None, pods },
        _ => range(dice, members),
    }
}

/// All hosts outside, perhaps without one of them.
fn range(dice: &mut Rng, members: &[Member]) -> Peer {
    let is_ipv6 = dice.bool();
    let (network, length): (IpAddr, u8) = if is_ipv6 {
        (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0).into(), 32)
    } else {
        (Ipv4Addr::new(198, 18, 0, 0).into(), 15)
    };
    let outside = members.iter().filter(|member| !member.is_pod());
    let outside: Vec<IpAddr> = outside.filter_map(|member| member.ip(is_ipv6)).collect();
    let excepts = dice.bool();
    let except = if excepts && !outside.is_empty() { Some(*pick(dice, &outside)) } else { None };
    Peer::Range { network, length, except }
}

fn port_range(dice: &mut Rng) -> PortRange {
    let (transport, first) = *pick(dice, &PORTS);
    let last = if dice.u8(..4) == 0 { first + 1 } else { first };
    PortRange { transport, first, last }
}

/// The label of a pod.
pub(super) fn label(dice: &mut Rng) -> Label {
    *pick(dice, &LABELS)
}

/// A Service of TCP and one of UDP for each family, each with two endpoints if there are so many pods.
pub(super) fn services(dice: &mut Rng, members: &[Member], block: u16) -> Vec<Service> {
    let mut services = Vec::new();
    for (number, is_ipv6) in [false, true, false, true].into_iter().enumerate() {
        let mut backends: Vec<usize> = (0..members.len())
            .filter(|number| members[*number].is_pod() && members[*number].ip(is_ipv6).is_some())
            .collect();
        dice.shuffle(&mut backends);
        let Some(&first) = backends.first() else { continue };
        let namespace = members[first].namespace;
        backends.retain(|number| members[*number].namespace == namespace);
        backends.truncate(2);
        let has_node_port = dice.bool();
        let (transport, port) = if number < 2 { (Transport::Tcp, 80) } else { (Transport::Udp, 53) };
        services.push(Service {
            name: format!("service-{number}"),
            namespace,
            transport,
            address: SocketAddr::new(address(block, number as u16, is_ipv6), port),
            node_port: has_node_port.then_some(30_000 + number as u16),
            backends,
            target: port,
        });
    }
    services
}

/// The address of a Service: no other lab on the machine has it.
fn address(block: u16, number: u16, is_ipv6: bool) -> IpAddr {
    if is_ipv6 {
        Ipv6Addr::new(0xfd6e, 0x6574, 0x7373, block, 0, 0, 0, number + 1).into()
    } else {
        let base = u32::from(Ipv4Addr::new(10, 96, 0, 0));
        Ipv4Addr::from(base + (u32::from(block) << 4) + u32::from(number) + 1).into()
    }
}

/// One of several.
pub(super) fn pick<'a, T>(dice: &mut Rng, all: &'a [T]) -> &'a T {
    &all[dice.usize(..all.len())]
}
