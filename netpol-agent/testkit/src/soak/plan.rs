//! The connections of a round: who opens which, when and how.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use fastrand::Rng;

use super::{
    cluster::pick,
    member::Member,
    service::Service,
    tuple::{Transport, Tuple},
};

/// For how long a round opens connections.
pub(super) const TRAFFIC: Duration = Duration::from_secs(9);

/// The source port of the first connection; each takes the next one.
const FIRST_PORT: u16 = 20_000;

/// The port that both sides of a conversation use.
pub(super) const SHARED_PORT: u16 = 5000;

/// A connection to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planned {
    /// Since the beginning of the traffic.
    pub(super) at: Duration,
    pub(super) opener: Opener,
    pub(super) activity: Activity,
    /// As the opener sends it: the destination may be a Service's address.
    pub(super) tuple: Tuple,
}

/// Who opens a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opener {
    /// The member with this number.
    Member(usize),
    Node,
}

/// How a connection is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activity {
    /// The handshake, one exchange, and the end.
    Connect,
    /// A connection that exchanges something now and then, for seconds.
    Linger,
    /// One packet that opens, made by hand, this many times.
    Knock { copies: u8 },
    /// A datagram without an answer.
    Tell,
    /// A datagram, and its answer.
    Ask,
    /// An echo request, and its reply.
    Ping,
}

/// Makes plans with fresh source ports.
struct Planner<'a> {
    dice: &'a mut Rng,
    members: &'a [Member],
    services: &'a [Service],
    node: [IpAddr; 2],
    next_port: u16,
    plans: Vec<Planned>,
}

/// About so many connections, sorted by time.
pub(super) fn connections(
    dice: &mut Rng,
    members: &[Member],
    services: &[Service],
    node: [IpAddr; 2],
    count: usize,
) -> Vec<Planned> {
    let mut planner = Planner { dice, members, services, node, next_port: FIRST_PORT, plans: Vec::new() };
    // Pairs without a common family yield nothing.
    for _ in 0..count * 3 {
        if planner.plans.len() < count {
            planner.add();
        }
    }
    let mut plans = planner.plans;
    plans.sort_by_key(|plan| plan.at);
    plans
}

impl Planner<'_> {
    fn add(&mut self) {
        let at = TRAFFIC.mul_f32(self.dice.f32());
        match self.dice.u8(..100) {
            0..34 => self.direct(at, Activity::Connect, Transport::Tcp, &[80, 80, 80, 8080, 8080, 81]),
            34..38 => self.direct(at, Activity::Linger, Transport::Tcp, &[80]),
            38..46 => {
                let copies = self.dice.u8(1..=2);
                self.direct(at, Activity::Knock { copies }, Transport::Tcp, &[80, 81, 8080]);
            }
            46..55 => self.direct(at, Activity::Tell, Transport::Udp, &[514, 514, 54]),
            55..64 => self.direct(at, Activity::Ask, Transport::Udp, &[53, 53, 54]),
            64..71 => self.conversation(at),
            71..75 => self.direct(at, Activity::Ping, Transport::Echo, &[0]),
            75..81 => self.direct(at, Activity::Knock { copies: 1 }, Transport::Sctp, &[3868, 3869]),
            81..91 => self.through_service(at),
            91..94 => self.of_node(at),
            _ => self.one_source_port(at),
        }
    }

    fn direct(&mut self, at: Duration, activity: Activity, transport: Transport, ports: &[u16]) {
        let Some((opener, from, to)) = self.pair() else { return };
        let port = *pick(self.dice, ports);
        let own = if transport == Transport::Echo { 0 } else { self.port() };
        let tuple = Tuple { transport, from: (from, own).into(), to: (to, port).into() };
        // Echoes between two addresses can't be told apart.
        if transport != Transport::Echo || self.plans.iter().all(|plan| plan.tuple != tuple) {
            self.plans.push(Planned { at, opener: Opener::Member(opener), activity, tuple });
        }
    }

    /// Two datagrams, one in each direction, between the same two ports. The second may be an answer.
    fn conversation(&mut self, at: Duration) {
        let Some((opener, from, to)) = self.pair() else { return };
        let Some(other) = self.members.iter().position(|member| member.ips.contains(&to)) else { return };
        let (from, to) = ((from, SHARED_PORT).into(), (to, SHARED_PORT).into());
        let tuple = Tuple { transport: Transport::Udp, from, to };
        if self.plans.iter().any(|plan| [tuple, tuple.reversed()].contains(&plan.tuple)) {
            return;
        }
        let activity = Activity::Knock { copies: self.dice.u8(1..=2) };
        let gap = Duration::from_millis(self.dice.u64(60..600));
        self.plans.push(Planned { at, opener: Opener::Member(opener), activity, tuple });
        let tuple = tuple.reversed();
        self.plans.push(Planned { at: at + gap, opener: Opener::Member(other), activity, tuple });
    }

    fn through_service(&mut self, at: Duration) {
        if self.services.is_empty() {
            return;
        }
        let service = pick(self.dice, self.services).clone();
        let opener = self.dice.usize(..self.members.len());
        let member = &self.members[opener];
        let Some(from) = member.ip(service.address.is_ipv6()) else { return };
        let may_use_node_port = self.dice.u8(..3) == 0;
        let to = match service.node_port {
            Some(port) if may_use_node_port || !member.is_pod() => {
                SocketAddr::new(self.node[usize::from(from.is_ipv6())], port)
            }
            _ => service.address,
        };
        let activity = if service.transport == Transport::Tcp { Activity::Connect } else { Activity::Ask };
        let own = self.port();
        let tuple = Tuple { transport: service.transport, from: (from, own).into(), to };
        // The answer of an endpoint on the opener itself would not come back through the node.
        if !service.backends.contains(&opener) {
            self.plans.push(Planned { at, opener: Opener::Member(opener), activity, tuple });
        }
    }

    fn of_node(&mut self, at: Duration) {
        let to = pick(self.dice, self.members);
        let ip = *pick(self.dice, &to.ips);
        let from = SocketAddr::new(self.node[usize::from(ip.is_ipv6())], self.port());
        let tuple = Tuple { transport: Transport::Tcp, from, to: (ip, 80).into() };
        self.plans.push(Planned { at, opener: Opener::Node, activity: Activity::Connect, tuple });
    }

    /// Several connections out of one port, within a few milliseconds.
    fn one_source_port(&mut self, at: Duration) {
        let own = self.port();
        let Some((opener, from, first)) = self.pair() else { return };
        let second = self.reachable(opener, from).unwrap_or(first);
        for (number, (to, port)) in [(first, 80), (first, 8080), (second, 81)].into_iter().enumerate() {
            let tuple = Tuple { transport: Transport::Tcp, from: (from, own).into(), to: (to, port).into() };
            let at = at + Duration::from_millis(15 * number as u64);
            let activity = Activity::Knock { copies: 1 };
            self.plans.push(Planned { at, opener: Opener::Member(opener), activity, tuple });
        }
    }

    /// An opener, its address, and an address of another member, of which at least one is a pod.
    fn pair(&mut self) -> Option<(usize, IpAddr, IpAddr)> {
        let opener = self.dice.usize(..self.members.len());
        let from = *pick(self.dice, &self.members[opener].ips);
        Some((opener, from, self.reachable(opener, from)?))
    }

    fn reachable(&mut self, opener: usize, from: IpAddr) -> Option<IpAddr> {
        let other = self.dice.usize(..self.members.len());
        let (own, other_member) = (&self.members[opener], &self.members[other]);
        let fits = other != opener && (own.is_pod() || other_member.is_pod());
        other_member.ip(from.is_ipv6()).filter(|_| fits)
    }

    fn port(&mut self) -> u16 {
        self.next_port += 1;
        self.next_port - 1
    }
}
