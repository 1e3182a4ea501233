//! From an attempt to a judged flow: who it was, what was declared for it at that time, how the two compare.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    attempt_context::AttemptContext,
    outcome::{insufficient, outcome},
    state_history::StateHistory,
};
use crate::{
    identity::{PodInterfaces, Resolution, is_api_server, own_node, resolve_at},
    model::{
        Attempt, DropReasons, Endpoint, Expected, Flow, Kinds, Monotonic, ObjectKind, Observed,
        SocketAddress, Undecidable,
    },
    policy::Engine,
};

/// Ties the kernel's clock to the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// What the calendar said when `CLOCK_MONOTONIC` was 0.
    pub boot: Timestamp,
}

impl Clock {
    /// By what both say now.
    #[must_use]
    pub fn new(now: Monotonic, time: Timestamp) -> Self {
        Self { boot: time.saturating_sub(since_boot(now)).unwrap_or(Timestamp::MIN) }
    }

    /// The calendar's time of a moment of the kernel's clock.
    #[must_use]
    pub fn at(self, moment: Monotonic) -> Timestamp {
        self.boot.saturating_add(since_boot(moment)).unwrap_or(Timestamp::MAX)
    }
}

fn since_boot(moment: Monotonic) -> SignedDuration {
    SignedDuration::from_nanos(i64::try_from(moment.as_nanos()).unwrap_or(i64::MAX))
}

/// Judges attempts.
pub struct Judge {
    clock: Clock,
    reasons: DropReasons,
    states: StateHistory,
    unusable: Kinds,
    /// Until when the news of pods has come in.
    pods_as_of: Monotonic,
}

impl Judge {
    /// Creates a judge that knows no state yet. An attempt that any two states within `grace` before it judge differently
    /// is not judged: enforcers take their time, too. `keep_for` is the longest time from the begin of an attempt to its
    /// last verdict.
    #[must_use]
    pub fn new(clock: Clock, reasons: DropReasons, grace: Duration, keep_for: Duration) -> Self {
        Self {
            clock,
            reasons,
            states: StateHistory::new(grace, keep_for),
            unusable: Kinds::NONE,
            pods_as_of: Monotonic::MAX,
        }
    }

    /// Sets the clock anew: the calendar may have jumped.
    pub fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// Puts a state in force.
    pub fn set_state(&mut self, state: Arc<Engine>, now: Monotonic) {
        self.states.push(state, now);
    }

    /// Says which kinds of objects are not known well enough to judge by.
    pub fn set_unusable(&mut self, unusable: Kinds) {
        self.unusable = unusable;
    }

    /// Says until when the news of pods has come in; [`Monotonic::MAX`] while they do.
    pub fn set_pods_as_of(&mut self, as_of: Monotonic) {
        self.pods_as_of = as_of;
    }

    /// The state in force.
    #[must_use]
    pub fn state(&self) -> Option<&Arc<Engine>> {
        self.states.last()
    }

    /// Until when to wait with an attempt for the name of a pod that is new on this node, or for the news of another's end;
    /// `None` where there is nothing to wait for.
    #[must_use]
    pub fn awaits(&self, attempt: &Attempt, interfaces: &PodInterfaces) -> Option<Monotonic> {
        let until = |resolution| {
            if let Resolution::Pending { until } = resolution { Some(until) } else { None }
        };
        let (source, destination) = self.ends(attempt, interfaces);
        let named = until(source).max(until(destination));
        named.max(unclear_until(attempt, interfaces))
    }

    /// Judges an attempt by what was known until it was decided.
    #[must_use]
    pub fn judge(&self, attempt: Attempt, interfaces: &PodInterfaces) -> Flow {
        let decided = attempt.decided;
        self.judge_until(attempt, interfaces, decided)
    }

    /// Judges an attempt by all that is known until a later time, too: what changed since then may have been in force
    /// already.
    #[must_use]
    pub fn judge_until(&self, attempt: Attempt, interfaces: &PodInterfaces, until: Monotonic) -> Flow {
        let ends = self.ends(&attempt, interfaces);
        let unclear =
            [&ends.0, &ends.1].into_iter().any(|resolution| !matches!(resolution, Resolution::Known { .. }));
        let ((source, from), (mut destination, to)) = (known(ends.0), known(ends.1));
        let service = self.service(&attempt);
        if let (Some(service), None) = (&service, attempt.service_address) {
            destination = Endpoint::Service(service.clone());
        } else if matches!(destination, Endpoint::Node(_)) && self.is_api_server(attempt.tuple.destination) {
            destination = Endpoint::ApiServer;
        }
        let expected = match self.spoofed(&attempt, interfaces).or_else(|| insufficient(&attempt)) {
            Some(why) => Expected::Undecidable(why),
            None if self.is_blind(&source, &destination) => Expected::Undecidable(Undecidable::Stale),
            None if unclear => Expected::Undecidable(Undecidable::RecentChange),
            None => self.expected(&AttemptContext {
                attempt: &attempt,
                interfaces,
                source: &source,
                destination: &destination,
                since: from.max(to),
                until,
            }),
        };
        let dropped = match attempt.observed {
            Observed::Dropped { reason, .. } => Some(reason),
            // A drop that did not keep the packet from getting there explains nothing.
            observed if observed.reached_destination() => None,
            _ => attempt.other_drop,
        };
        Flow {
            time: self.clock.at(attempt.began),
            outcome: outcome(&expected, attempt.observed),
            drop_reason: dropped.map(|reason| self.reasons.name(reason)),
            attempt,
            source,
            destination,
            service,
            expected,
        }
    }

    /// Whether an attempt went to a Service, and it is not known which endpoint it was translated to.
    #[must_use]
    pub fn lacks_endpoint(&self, attempt: &Attempt) -> bool {
        attempt.service_address.is_none() && self.service(attempt).is_some()
    }

    /// The Service that the opener addressed.
    fn service(&self, attempt: &Attempt) -> Option<Arc<str>> {
        let service_address = attempt.service_address.unwrap_or(attempt.tuple.destination);
        let (service, _) = self.state()?.snapshot().service_at(attempt.tuple.protocol, service_address)?;
        Some(service.key.clone())
    }

    fn is_api_server(&self, at: SocketAddress) -> bool {
        self.state().is_some_and(|state| is_api_server(state.snapshot().addresses(), at))
    }

    /// Who was behind the two addresses when the attempt began.
    fn ends(&self, attempt: &Attempt, interfaces: &PodInterfaces) -> (Resolution, Resolution) {
        let Some(state) = self.state() else {
            let nobody = Resolution::Known { endpoint: Endpoint::World, since: Monotonic::ZERO };
            return (nobody.clone(), nobody);
        };
        let at = attempt.began;
        let end = |address, veth: Option<u32>, is_there| {
            let assigned_at = interfaces.assigned_at(address, veth, at, is_there);
            match resolve_at(state.snapshot().addresses(), address, at, assigned_at, self.pods_as_of) {
                Resolution::Known { endpoint: Endpoint::World, since } => {
                    let node = own_node(state.snapshot().addresses(), interfaces.host(), address);
                    let endpoint = node.map_or(Endpoint::World, |node| Endpoint::Node(node.name.clone()));
                    Resolution::Known { endpoint, since }
                }
                resolution => resolution,
            }
        };
        let tuple = &attempt.tuple;
        (
            end(tuple.source.address, attempt.source_interface, true),
            end(tuple.destination.address, attempt.destination_interface, attempt.is_answered()),
        )
    }

    /// Whether the verdict on a connection between these depends on objects that are not known.
    fn is_blind(&self, source: &Endpoint, destination: &Endpoint) -> bool {
        let unusable = self.unusable;
        if unusable.is_empty() {
            return false;
        }
        let pods = matches!((source, destination), (Endpoint::Pod(_), Endpoint::Pod(_)));
        unusable.iter().any(|kind| match kind {
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
    fn spoofed(&self, attempt: &Attempt, interfaces: &PodInterfaces) -> Option<Undecidable> {
        let veth = interfaces.get(attempt.spoof_candidate?)?;
        let snapshot = self.state()?.snapshot();
        let is_pod = veth.addresses.iter().any(|address| snapshot.pod_by_ip(*address).is_some());
        (is_pod && !veth.addresses.contains(&attempt.tuple.source.address))
            .then_some(Undecidable::SpoofedSource)
    }

    /// What may be expected of an enforcer. A pod that is new may not be admitted anywhere yet, and its labels not be
    /// known; only its isolation by NetworkPolicies holds from its first moment, says the API. One that the API has not
    /// told of is not outside of the cluster for that.
    fn expected(&self, case: &AttemptContext<'_>) -> Expected {
        let expected = self.states.expected(case);
        if !outcome(&expected, case.attempt.observed).is_finding() {
            return expected;
        }
        if self.has_unknown_pod(case) {
            return Expected::Undecidable(Undecidable::UnknownAddress);
        }
        if expected.is_isolation() || !self.states.is_new(case) {
            return expected;
        }
        Expected::Undecidable(Undecidable::RecentChange)
    }

    /// Whether an end is a pod, by where it is or by its address, of which the API has not told.
    fn has_unknown_pod(&self, case: &AttemptContext<'_>) -> bool {
        let Some(state) = self.state() else { return false };
        let (tuple, attempt) = (&case.attempt.tuple, case.attempt);
        let ends = [
            (case.source, tuple.source.address, attempt.source_interface),
            (case.destination, tuple.destination.address, attempt.destination_interface),
        ];
        ends.into_iter().any(|(end, address, veth)| {
            *end == Endpoint::World && (veth.is_some() || state.snapshot().is_for_pods(address))
        })
    }
}

/// See [`PodInterfaces::unclear_until`]. Who sent is there, and who answered.
fn unclear_until(attempt: &Attempt, interfaces: &PodInterfaces) -> Option<Monotonic> {
    // Its beginning was seen nowhere.
    if attempt.pre_existing {
        return None;
    }
    let doubtful = |address, veth| interfaces.unclear_until(address, veth, attempt.began);
    let (tuple, spoofs) = (&attempt.tuple, attempt.spoof_candidate.is_some());
    let source = if spoofs { None } else { doubtful(tuple.source.address, attempt.source_interface) };
    let destination = doubtful(tuple.destination.address, attempt.destination_interface);
    source.max(destination.filter(|_| attempt.is_answered()))
}

/// Who it is, and since when; an end that is not known is nobody's.
fn known(resolution: Resolution) -> (Endpoint, Monotonic) {
    match resolution {
        Resolution::Known { endpoint, since } => (endpoint, since),
        Resolution::Pending { .. } | Resolution::Unclear => (Endpoint::World, Monotonic::ZERO),
    }
}
