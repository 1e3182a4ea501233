//! What really became of each connection, from the packets that were seen in the pods' own namespaces.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use super::{
    attack::FLOOD_PORTS,
    enforcement::Enforcement,
    oracle::{Epoch, Verdict},
    plan::Planned,
    sniffer::{Mark, Sight, Sights},
    tuple::{Transport, Tuple},
};

/// How long a change takes to reach the agent, at most.
const NEWS: Duration = Duration::from_millis(1500);

/// How long the agent may take to decide, at most.
const DECISION: Duration = Duration::from_secs(8);

/// What really became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Truth {
    /// Denied, and a packet of it arrived.
    Leak,
    /// Denied, and no packet of it arrived.
    KeptOut,
    /// Allowed, and nobody stopped it on purpose.
    Unhindered,
    /// Allowed, and the enforcer stops it.
    Blocked,
    /// What the policies say changed shortly before or after.
    Changing,
    /// No policy is about it, or the API leaves it open.
    Exempt,
    /// An answer in a conversation that the other side opened.
    Answer,
    /// To a Service's address, which nobody has.
    Service,
    /// Nobody opened it: somebody may have forged it.
    Stray,
    /// A part of a flood.
    Flood,
}

impl Truth {
    /// The name in the report.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Leak => "denied, got in",
            Self::KeptOut => "denied, kept out",
            Self::Unhindered => "allowed, unhindered",
            Self::Blocked => "allowed, stopped",
            Self::Changing => "during a change",
            Self::Exempt => "no verdict",
            Self::Answer => "an answer",
            Self::Service => "to a service",
            Self::Stray => "nobody's",
            Self::Flood => "a flood's",
        }
    }
}

/// All that a round knows about its connections.
#[derive(Debug)]
pub(super) struct Evidence {
    pub(super) epochs: Vec<Epoch>,
    pub(super) enforcement: Enforcement,
    pub(super) plans: Vec<Planned>,
    /// The addresses of Services, each with the endpoints behind it.
    pub(super) services: BTreeMap<SocketAddr, Vec<SocketAddr>>,
    pub(super) grace: Duration,
    tracks: BTreeMap<Tuple, Track>,
    /// The numbers of the plans by transport and source.
    openers: BTreeMap<(Transport, SocketAddr), Vec<usize>>,
}

/// The packets of a tuple: where they left, and where they arrived.
#[derive(Clone, Debug, Default)]
pub(super) struct Track {
    pub(super) left: Vec<Sight>,
    pub(super) arrived: Vec<Sight>,
    /// What arrived, and had not left the pod or host that has the source address.
    pub(super) forged: Vec<Sight>,
}

impl Evidence {
    pub(super) fn new(
        epochs: Vec<Epoch>,
        enforcement: Enforcement,
        plans: Vec<Planned>,
        services: BTreeMap<SocketAddr, Vec<SocketAddr>>,
        grace: Duration,
        sights: &[Sights],
    ) -> Self {
        let mut openers = BTreeMap::<_, Vec<usize>>::new();
        for (number, plan) in plans.iter().enumerate() {
            openers.entry((plan.tuple.transport, plan.tuple.from)).or_default().push(number);
        }
        let mut evidence =
            Self { epochs, enforcement, plans, services, grace, tracks: tracks(sights), openers };
        evidence.set_forgeries_aside();
        evidence
    }

    /// A packet is forged if none like it left the interface of the pod or host that has its source address. The node,
    /// which has no sniffer, forges nothing.
    fn set_forgeries_aside(&mut self) {
        let marks = |tuple: &Tuple| -> Vec<Mark> {
            let tracks = self.before_translation(*tuple).filter_map(|way| self.tracks.get(&way));
            tracks.flat_map(|track| track.left.iter().map(|sight| sight.mark)).collect()
        };
        let left: BTreeMap<Tuple, Vec<Mark>> =
            self.tracks.keys().map(|tuple| (*tuple, marks(tuple))).collect();
        let has_sniffer = |ip| self.epochs.iter().any(|epoch| epoch.member(ip).is_some());
        for (tuple, track) in &mut self.tracks {
            let marks = left.get(tuple).map(Vec::as_slice).unwrap_or_default();
            let is_real = |sight: &Sight| !has_sniffer(tuple.from.ip()) || marks.contains(&sight.mark);
            (track.arrived, track.forged) = track.arrived.drain(..).partition(is_real);
        }
    }

    /// The packets of a tuple.
    pub(super) fn track(&self, tuple: Tuple) -> Track {
        self.tracks.get(&tuple).cloned().unwrap_or_default()
    }

    /// All tuples with which a connection was opened and of which a packet was seen, be it before or after translation.
    pub(super) fn opened(&self) -> Vec<Tuple> {
        self.tracks.keys().copied().filter(|tuple| self.plan(*tuple).is_some()).collect()
    }

    /// What became of a connection.
    pub(super) fn truth(&self, tuple: Tuple) -> Truth {
        if tuple.from.port() >= FLOOD_PORTS {
            return Truth::Flood;
        }
        if self.plan(tuple).is_none() {
            return Truth::Stray;
        }
        if self.services.contains_key(&tuple.to) {
            return Truth::Service;
        }
        let verdicts = self.verdicts(tuple);
        match verdicts[..] {
            _ if self.is_answer(tuple) => Truth::Answer,
            [Verdict::Allowed] if self.enforcement.stops(tuple) => Truth::Blocked,
            [Verdict::Allowed] => Truth::Unhindered,
            [Verdict::Denied] if self.has_arrived(tuple) => Truth::Leak,
            [Verdict::Denied] => Truth::KeptOut,
            [Verdict::Undefined | Verdict::Exempt] => Truth::Exempt,
            _ => Truth::Changing,
        }
    }

    /// Whether a packet of the connection arrived at its destination.
    pub(super) fn has_arrived(&self, tuple: Tuple) -> bool {
        self.tracks.get(&tuple).is_some_and(|track| !track.arrived.is_empty())
    }

    /// What the policies said while the connection was made and judged, without repetitions.
    pub(super) fn verdicts(&self, tuple: Tuple) -> Vec<Verdict> {
        let (first, last) = self.period(tuple);
        let from = first.saturating_sub(self.grace + NEWS);
        let to = last + DECISION;
        let ends = self.epochs.iter().skip(1).map(|epoch| epoch.since).chain([Duration::MAX]);
        let within = self.epochs.iter().zip(ends).filter(|(epoch, end)| epoch.since <= to && *end >= from);
        let mut verdicts: Vec<_> = within.map(|(epoch, _)| epoch.verdict(tuple)).collect();
        verdicts.sort();
        verdicts.dedup();
        verdicts
    }

    /// The connections to endpoints that this one to a Service may have become.
    pub(super) fn translated(&self, tuple: Tuple) -> Vec<Tuple> {
        let endpoints = self.services.get(&tuple.to).map(Vec::as_slice).unwrap_or_default();
        endpoints.iter().map(|to| Tuple { to: *to, ..tuple }).collect()
    }

    /// The plan that opened it.
    pub(super) fn plan(&self, tuple: Tuple) -> Option<&Planned> {
        let numbers = self.openers.get(&(tuple.transport, tuple.from)).map(Vec::as_slice).unwrap_or_default();
        let mut plans = numbers.iter().map(|number| &self.plans[*number]);
        plans.find(|plan| plan.tuple.to == tuple.to || self.translated(plan.tuple).contains(&tuple))
    }

    /// What the opener may have sent for this to arrive: the same, or with a Service's address.
    fn before_translation(&self, tuple: Tuple) -> impl Iterator<Item = Tuple> {
        let ways = self.services.iter().filter(move |(_, endpoints)| endpoints.contains(&tuple.to));
        ways.map(move |(way, _)| Tuple { to: *way, ..tuple }).chain([tuple])
    }

    /// When its first and its last packet were seen, before or after translation.
    fn period(&self, tuple: Tuple) -> (Duration, Duration) {
        let sights = self.before_translation(tuple).filter_map(|way| self.tracks.get(&way));
        let times = sights.flat_map(|track| track.left.iter().chain(&track.arrived)).map(|sight| sight.at);
        let planned = self.plan(tuple).map(|plan| plan.at).unwrap_or_default();
        times
            .fold(None, |period: Option<(Duration, Duration)>, at| {
                Some(period.map_or((at, at), |(first, last)| (first.min(at), last.max(at))))
            })
            .unwrap_or((planned, planned))
    }

    /// Whether the other side had got a datagram through before, from and to the same ports.
    fn is_answer(&self, tuple: Tuple) -> bool {
        if tuple.transport != Transport::Udp {
            return false;
        }
        let first = |sights: &[Sight]| sights.iter().map(|sight| sight.at).min();
        let request = self.tracks.get(&tuple.reversed()).and_then(|track| first(&track.arrived));
        let own = self.tracks.get(&tuple).and_then(|track| first(&track.left));
        request.is_some_and(|request| own.is_none_or(|own| request < own))
            && self.plan(tuple.reversed()).is_some()
    }
}

/// The packets by tuple. Only where they belong: at an interface that has the address.
fn tracks(sights: &[Sights]) -> BTreeMap<Tuple, Track> {
    let mut tracks = BTreeMap::<Tuple, Track>::new();
    for pod in sights {
        for sight in &pod.packets {
            let own = if sight.is_arrival { sight.tuple.to } else { sight.tuple.from };
            if !pod.ips.contains(&own.ip()) {
                continue;
            }
            let track = tracks.entry(sight.tuple).or_default();
            if sight.is_arrival { track.arrived.push(*sight) } else { track.left.push(*sight) }
        }
    }
    tracks
}
