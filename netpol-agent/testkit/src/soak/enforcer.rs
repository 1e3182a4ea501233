//! The kinds of enforcers: where each sits, what it forgets, and what it stops.

use std::{
    hash::{Hash as _, Hasher as _},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use fnv::FnvHasher;

use super::{
    oracle::Epoch,
    policy::Direction,
    tuple::{Transport, Tuple},
};

/// The ports that the soak connects to. On some of them nobody listens.
pub(super) const PORTS: [(Transport, u16); 9] = [
    (Transport::Tcp, 80),
    (Transport::Tcp, 81),
    (Transport::Tcp, 8080),
    (Transport::Udp, 53),
    (Transport::Udp, 54),
    (Transport::Udp, 514),
    (Transport::Udp, 5000),
    (Transport::Sctp, 3868),
    (Transport::Sctp, 3869),
];

/// An enforcer of policies, with all its weaknesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Enforcer {
    /// The name in the report.
    pub(super) name: &'static str,
    pub(super) hook: Hook,
    pub(super) action: Action,
    /// The one direction that it enforces. `None`: both.
    pub(super) only: Option<Direction>,
    /// Whether it enforces in only one family, and which of them is up to chance.
    pub(super) is_one_family: bool,
    /// Whether rules are missing.
    pub(super) has_holes: bool,
    /// Whether it also stops some of what is allowed.
    pub(super) is_overzealous: bool,
    /// Whether it lets answers through, and what belongs to a connection.
    pub(super) is_stateful: bool,
    /// How long after a change it takes effect.
    pub(super) delay: Duration,
    /// When its rules are flushed, if ever.
    pub(super) forgets_after: Option<Duration>,
}

/// Where an enforcer sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    /// Nowhere.
    Nowhere,
    /// nftables: the forward hook.
    Forward,
    /// nftables: the egress hook of the host end of the destination's veth.
    Device,
    /// iptables: this table and chain.
    Iptables(&'static str, &'static str),
    /// TC on the host end of the source's veth: ingress.
    TcSource,
    /// TC on the host end of the destination's veth: egress.
    TcDestination,
}

/// What an enforcer does with what it denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Drop,
    /// A reset for TCP, a drop for the rest.
    Reset,
    /// An ICMP error.
    Icmp,
}

const EXACT: Enforcer = Enforcer {
    name: "exact",
    hook: Hook::Forward,
    action: Action::Drop,
    only: None,
    is_one_family: false,
    has_holes: false,
    is_overzealous: false,
    is_stateful: true,
    delay: Duration::ZERO,
    forgets_after: None,
};

/// All enforcers. A round's seed chooses one.
pub(super) const ENFORCERS: [Enforcer; 18] = [
    Enforcer { name: "none", hook: Hook::Nowhere, ..EXACT },
    EXACT,
    Enforcer { name: "iptables raw", hook: Hook::Iptables("raw", "PREROUTING"), is_stateful: false, ..EXACT },
    Enforcer { name: "iptables mangle", hook: Hook::Iptables("mangle", "FORWARD"), ..EXACT },
    Enforcer { name: "iptables filter", hook: Hook::Iptables("filter", "FORWARD"), ..EXACT },
    Enforcer { name: "ingress only", only: Some(Direction::Ingress), ..EXACT },
    Enforcer { name: "egress only", only: Some(Direction::Egress), ..EXACT },
    Enforcer { name: "one family", is_one_family: true, ..EXACT },
    Enforcer { name: "holes", has_holes: true, ..EXACT },
    Enforcer { name: "reset", action: Action::Reset, has_holes: true, ..EXACT },
    Enforcer { name: "icmp", action: Action::Icmp, ..EXACT },
    Enforcer {
        name: "iptables icmp",
        hook: Hook::Iptables("filter", "FORWARD"),
        action: Action::Icmp,
        has_holes: true,
        ..EXACT
    },
    Enforcer { name: "stateless", is_stateful: false, ..EXACT },
    Enforcer { name: "tc source", hook: Hook::TcSource, is_stateful: false, ..EXACT },
    Enforcer {
        name: "tc destination",
        hook: Hook::TcDestination,
        is_stateful: false,
        has_holes: true,
        ..EXACT
    },
    Enforcer { name: "device", hook: Hook::Device, is_stateful: false, ..EXACT },
    Enforcer { name: "late", delay: Duration::from_millis(4500), ..EXACT },
    Enforcer {
        name: "forgetful, overzealous",
        is_overzealous: true,
        forgets_after: Some(Duration::from_millis(6500)),
        ..EXACT
    },
];

/// What an enforcer stops: from one address to another, on some ports or altogether.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ban {
    pub(super) from: IpAddr,
    pub(super) to: IpAddr,
    /// `None`: all packets.
    pub(super) ports: Option<Vec<(Transport, u16)>>,
}

impl Ban {
    /// Whether it stops a packet of this tuple.
    pub(super) fn covers(&self, tuple: Tuple) -> bool {
        self.from == tuple.from.ip()
            && self.to == tuple.to.ip()
            && self.ports.as_ref().is_none_or(|ports| ports.contains(&(tuple.transport, tuple.to.port())))
    }
}

impl Enforcer {
    /// What it stops in this state. The seed chooses its mistakes.
    pub(super) fn bans(&self, epoch: &Epoch, seed: u64) -> Vec<Ban> {
        if self.hook == Hook::Nowhere {
            return Vec::new();
        }
        let mut bans = Vec::new();
        let addresses: Vec<IpAddr> = epoch.members.iter().flat_map(|member| member.ips.clone()).collect();
        for &from in &addresses {
            for &to in addresses.iter().filter(|to| to.is_ipv6() == from.is_ipv6()) {
                bans.extend(self.ban(epoch, seed, from, to));
            }
        }
        bans
    }

    fn ban(&self, epoch: &Epoch, seed: u64, from: IpAddr, to: IpAddr) -> Option<Ban> {
        if from == to || (self.is_one_family && from.is_ipv6() != seed.is_multiple_of(2)) {
            return None;
        }
        let mut chance = chance(epoch, seed, from, to);
        let mut ports = Vec::new();
        for (transport, port) in PORTS {
            let tuple = Tuple { transport, from: (from, 0).into(), to: SocketAddr::new(to, port) };
            let stops = if self.denies(epoch, tuple) {
                !(self.has_holes && chance.u8(..100) < 25)
            } else {
                self.is_overzealous && chance.u8(..100) < 8
            };
            if stops {
                ports.push((transport, port));
            }
        }
        let all = ports.len() == PORTS.len();
        if ports.is_empty() {
            return None;
        }
        Some(Ban { from, to, ports: (!all || self.needs_ports()).then_some(ports) })
    }

    fn denies(&self, epoch: &Epoch, tuple: Tuple) -> bool {
        let (Some(from), Some(to)) = (epoch.member(tuple.from.ip()), epoch.member(tuple.to.ip())) else {
            return false;
        };
        let directions = [Direction::Egress, Direction::Ingress];
        directions
            .into_iter()
            .filter(|direction| self.only.is_none_or(|only| only == *direction))
            .any(|direction| epoch.denies(direction, tuple, from, to))
    }

    /// Whether it has a rule for each port, even if all are denied: without state, a rule without ports stops answers.
    fn needs_ports(&self) -> bool {
        matches!(self.hook, Hook::TcSource | Hook::TcDestination | Hook::Device)
    }

    /// Whether it may stop answers of connections whose request it let through.
    pub(super) fn stops_answers(&self) -> bool {
        !self.is_stateful || self.delay > Duration::ZERO
    }
}

/// The dice for the mistakes about one pair: the same in each state of a round, and whatever addresses the lab has.
fn chance(epoch: &Epoch, seed: u64, from: IpAddr, to: IpAddr) -> fastrand::Rng {
    let mut hasher = FnvHasher::with_key(seed);
    let name = |ip| epoch.member(ip).map(|member| &member.name);
    (name(from), name(to), to.is_ipv6()).hash(&mut hasher);
    fastrand::Rng::with_seed(hasher.finish())
}
