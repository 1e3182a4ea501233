//! From an attempt to a judged flow: who it was, what was declared for it at that time, how the two compare.

use std::{collections::VecDeque, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use super::outcome::{insufficient, outcome};
use crate::{
    identity::resolve,
    model::{
        Attempt, DropReasons, Endpoint, Expected, Flow, Kinds, ObjectKind, Observed, Undecidable, Veths,
    },
    policy::{Engine, Party, Query},
};

/// Ties the kernel's clock to the calendar.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// What the calendar said when `CLOCK_MONOTONIC` was 0.
    pub boot: Timestamp,
}

impl Clock {
    /// The calendar's time of a moment of `CLOCK_MONOTONIC`, in nanoseconds.
    #[must_use]
    pub fn at(self, monotonic_ns: u64) -> Timestamp {
        let since = SignedDuration::from_nanos(i64::try_from(monotonic_ns).unwrap_or(i64::MAX));
        self.boot.saturating_add(since).unwrap_or(Timestamp::MAX)
    }
}

/// Judges attempts.
pub struct Judge {
    clock: Clock,
    reasons: DropReasons,
    grace_ns: u64,
    /// The policies of late, compiled with the cluster state that they came with, each with the moment since which it holds; the last one is in force.
    states: VecDeque<(u64, Arc<Engine>)>,
    gaps: Kinds,
}

impl Judge {
    /// One that knows no state yet. An attempt that any two states within `grace_ns` before it judge differently is
    /// not judged: enforcers take their time, too.
    #[must_use]
    pub fn new(clock: Clock, reasons: DropReasons, grace_ns: u64) -> Self {
        Self { clock, reasons, grace_ns, states: VecDeque::new(), gaps: Kinds::NONE }
    }

    /// Puts a state in force.
    pub fn set_state(&mut self, state: Arc<Engine>, now_ns: u64) {
        // What has held since before the window is needed; what it replaced is not.
        let start = now_ns.saturating_sub(self.grace_ns);
        while self.states.len() > 1 && self.states.get(1).is_some_and(|(since, _)| *since <= start) {
            self.states.pop_front();
        }
        self.states.push_back((now_ns, state));
    }

    /// Says which kinds of objects are not known well enough to judge by.
    pub fn set_gaps(&mut self, gaps: Kinds) {
        self.gaps = gaps;
    }

    /// The state in force.
    #[must_use]
    pub fn state(&self) -> Option<&Arc<Engine>> {
        self.states.back().map(|(_, state)| state)
    }

    /// Judges an attempt.
    #[must_use]
    pub fn judge(&self, attempt: Attempt, veths: &Veths) -> Flow {
        let (source, destination) = self.endpoints(&attempt);
        let expected = match self.spoofed(&attempt, veths).or_else(|| insufficient(&attempt)) {
            Some(why) => Expected::Undecidable(why),
            None if self.is_blind(&source, &destination) => Expected::Undecidable(Undecidable::Stale),
            None => self.expected(&attempt),
        };
        let dropped = match attempt.observed {
            Observed::Dropped { reason, .. } => Some(reason),
            // A drop that did not keep the packet from getting there explains nothing.
            observed if observed.got_there() => None,
            _ => attempt.other_drop,
        };
        Flow {
            time: self.clock.at(attempt.first_ns),
            outcome: outcome(&expected, attempt.observed),
            drop_reason: dropped.map(|reason| self.reasons.name(reason)),
            attempt,
            source,
            destination,
            expected,
        }
    }

    /// Who is behind the two addresses, in the state in force.
    fn endpoints(&self, attempt: &Attempt) -> (Endpoint, Endpoint) {
        let who = |address| self.state().map_or(Endpoint::World, |state| resolve(state.snapshot(), address));
        (who(attempt.tuple.source.address), who(attempt.tuple.destination.address))
    }

    /// Whether the verdict on a connection between these depends on objects that are not known.
    fn is_blind(&self, source: &Endpoint, destination: &Endpoint) -> bool {
        let gaps = self.gaps;
        if gaps.is_empty() {
            return false;
        }
        let pods = matches!((source, destination), (Endpoint::Pod(_), Endpoint::Pod(_)));
        gaps.iter().any(|kind| match kind {
            // What is no pod may be a node, whose kubelet no policy stops, or the address of a Service.
            ObjectKind::Node | ObjectKind::Service => !pods,
            ObjectKind::EndpointSlice => matches!(destination, Endpoint::Service(_)),
            ObjectKind::Namespace => self.has_policies(),
            _ => kind.is_essential(),
        })
    }

    fn has_policies(&self) -> bool {
        self.state().is_none_or(|state| {
            let snapshot = state.snapshot();
            snapshot.network_policies().next().is_some() || snapshot.cluster_policies().next().is_some()
        })
    }

    /// What came out of a pod's veth with an address that is not that pod's. A veth behind which no pod lives is a
    /// way to elsewhere, and all addresses are right there.
    fn spoofed(&self, attempt: &Attempt, veths: &Veths) -> Option<Undecidable> {
        let veth = veths.get(attempt.foreign_veth?)?;
        let snapshot = self.state()?.snapshot();
        let is_pod = veth.addresses.iter().any(|address| snapshot.pod_by_ip(*address).is_some());
        (is_pod && !veth.addresses.contains(&attempt.tuple.source.address))
            .then_some(Undecidable::SpoofedSource)
    }

    /// What the policies say: all states that held at some time since shortly before the attempt must agree.
    fn expected(&self, attempt: &Attempt) -> Expected {
        let start = attempt.first_ns.saturating_sub(self.grace_ns);
        let in_force = self.states.iter().enumerate().filter(|(index, (since, _))| {
            let until = self.states.get(index + 1).map_or(u64::MAX, |(until, _)| *until);
            *since <= attempt.decided_ns && until > start
        });
        let mut verdict: Option<Expected> = None;
        for (_, (_, state)) in in_force {
            let next = evaluate(state, attempt);
            match &verdict {
                Some(before) if !agree(before, &next) => {
                    return Expected::Undecidable(Undecidable::RecentChange);
                }
                _ => verdict = Some(next),
            }
        }
        verdict.unwrap_or(Expected::Undecidable(Undecidable::Stale))
    }
}

fn evaluate(engine: &Engine, attempt: &Attempt) -> Expected {
    let tuple = &attempt.tuple;
    if let Endpoint::Service(_) = resolve(engine.snapshot(), tuple.destination.address) {
        // The packet was seen before its destination was translated: who answers is not known.
        return Expected::Undecidable(Undecidable::ServiceAddress);
    }
    let query = Query {
        source: Party::Ip(tuple.source.address),
        destination: Party::Ip(tuple.destination.address),
        protocol: tuple.protocol,
        port: tuple.destination.port,
        via_service: false,
    };
    engine.evaluate(&query).expected()
}

/// Whether two expectations come to the same: the rules that admit or deny may differ.
fn agree(a: &Expected, b: &Expected) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}
