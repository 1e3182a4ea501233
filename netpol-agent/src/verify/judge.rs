//! Judges an attempt: finds its endpoints, evaluates the policies of that time, and compares the result with the
//! observed one.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    attempt_context::AttemptContext,
    outcome::{Reach, is_proof, outcome, unknown_opener, unseen},
    state_history::StateHistory,
};
use crate::{
    identity::{PodInterfaces, Resolution, is_api_server, own_node, resolve_at},
    model::{
        Attempt, DropReasons, Endpoint, Expected, Flow, Kinds, Monotonic, ObjectKind, Observed, Protocol,
        SocketAddress, Undecidable,
    },
    policy::Engine,
};

/// Converts the kernel's monotonic clock to the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// The wall clock's time when `CLOCK_MONOTONIC` was 0.
    pub boot: Timestamp,
}

impl Clock {
    /// Creates the clock from the time of both clocks at the same moment.
    #[must_use]
    pub fn new(now: Monotonic, time: Timestamp) -> Self {
        Self { boot: time.saturating_sub(since_boot(now)).unwrap_or(Timestamp::MIN) }
    }

    /// Returns the wall clock's time of a point in time of the monotonic clock.
    #[must_use]
    pub fn at(self, moment: Monotonic) -> Timestamp {
        self.boot.saturating_add(since_boot(moment)).unwrap_or(Timestamp::MAX)
    }
}

fn since_boot(moment: Monotonic) -> SignedDuration {
    SignedDuration::from_nanos(i64::try_from(moment.as_nanos()).unwrap_or(i64::MAX))
}

/// Judges attempts by the recent cluster states.
pub struct Judge {
    clock: Clock,
    reasons: DropReasons,
    states: StateHistory,
    unusable: Kinds,
    /// The time up to which reports about pods have been received.
    pods_as_of: Monotonic,
}

impl Judge {
    /// Creates a judge without any cluster state. An attempt is undecidable if two states within `grace` before it give
    /// different verdicts, because enforcers take time to apply changes. `keep_for` is the maximum time from the start
    /// of an attempt to its last verdict.
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

    /// Sets the clock again: the wall clock may have jumped.
    pub fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// Sets the current cluster state.
    pub fn set_state(&mut self, state: Arc<Engine>, now: Monotonic) {
        self.states.push(state, now);
    }

    /// Sets which kinds of objects are not known well enough to judge by.
    pub fn set_unusable(&mut self, unusable: Kinds) {
        self.unusable = unusable;
    }

    /// Sets the time up to which reports about pods have been received; [`Monotonic::MAX`] while the watch is current.
    pub fn set_pods_as_of(&mut self, as_of: Monotonic) {
        self.pods_as_of = as_of;
    }

    /// Returns the current cluster state.
    #[must_use]
    pub fn state(&self) -> Option<&Arc<Engine>> {
        self.states.last()
    }

    /// Returns until when an attempt has to wait for the report of a new pod on this node, or for the report of an old
    /// one's removal; `None` if it has not to wait.
    #[must_use]
    pub fn awaits(&self, attempt: &Attempt, interfaces: &PodInterfaces) -> Option<Monotonic> {
        let until = |resolution| {
            if let Resolution::Pending { until } = resolution { Some(until) } else { None }
        };
        let (source, destination) = self.endpoints(attempt, interfaces);
        let named = until(source).max(until(destination));
        named.max(unclear_until(attempt, interfaces))
    }

    /// Judges an attempt by what was known when it was decided.
    #[must_use]
    pub fn judge(&self, attempt: Attempt, interfaces: &PodInterfaces) -> Flow {
        let decided = attempt.decided;
        self.judge_until(attempt, interfaces, decided)
    }

    /// Judges an attempt by what is known up to a later time, too. A change that was reported since then may already
    /// have been in force.
    #[must_use]
    pub fn judge_until(&self, attempt: Attempt, interfaces: &PodInterfaces, until: Monotonic) -> Flow {
        let endpoints = self.endpoints(&attempt, interfaces);
        let unclear = [&endpoints.0, &endpoints.1]
            .into_iter()
            .any(|resolution| !matches!(resolution, Resolution::Known { .. }));
        let ((source, from), (mut destination, to)) = (endpoint_of(endpoints.0), endpoint_of(endpoints.1));
        let service = self.service(&attempt);
        if let (Some(service), None) = (&service, attempt.service_address) {
            destination = Endpoint::Service(service.clone());
        } else if matches!(destination, Endpoint::Node(_)) && self.is_api_server(attempt.tuple.destination) {
            destination = Endpoint::ApiServer;
        }
        let expected = || {
            self.expected(&AttemptContext {
                attempt: &attempt,
                interfaces,
                source: &source,
                destination: &destination,
                since: from.max(to),
                until,
            })
        };
        let attempt = Attempt {
            observed: if self.is_refused_outside(&attempt, &destination) {
                Observed::Refused
            } else {
                attempt.observed
            },
            ..attempt
        };
        let is_stale = self.needs_unusable_kind(&source, &destination);
        let doubt = self
            .spoofed(&attempt, interfaces)
            .or(unknown_opener(&attempt))
            .or(is_stale.then_some(Undecidable::Stale))
            .or(unclear.then_some(Undecidable::RecentChange));
        let is_refused_on_the_way = self.is_refused_on_the_way(&attempt, interfaces, &destination);
        let is_proxied = self.is_answered_on_the_way(&attempt, interfaces, &destination);
        let unseen = unseen(&attempt).or(is_proxied.then_some(Undecidable::UnseenOrigin));
        let expected = match (doubt, unseen) {
            (Some(why), _) => Expected::Undecidable(why),
            (None, None) => expected(),
            // One packet that got through is a leak, whatever else was not seen. And what was denied and has stayed on the
            // node was stopped, whoever refused it.
            (None, Some(why)) => Some(expected())
                .filter(|expected| {
                    let is_denied = matches!(expected, Expected::Denied { .. });
                    is_proof(expected, &attempt) || (is_denied && is_refused_on_the_way)
                })
                .unwrap_or(Expected::Undecidable(why)),
        };
        let attempt = if is_refused_on_the_way && matches!(expected, Expected::Denied { .. }) {
            Attempt { observed: Observed::Rejected, ..attempt }
        } else {
            attempt
        };
        let dropped = match attempt.observed {
            Observed::Dropped { reason, .. } => Some(reason),
            // A drop that did not keep the packet from its destination explains nothing.
            _ if attempt.reached_destination() => None,
            _ => attempt.other_drop,
        };
        Flow {
            time: self.clock.at(attempt.began),
            outcome: outcome(&expected, attempt.observed, Reach::of(&attempt)),
            drop_reason: dropped.map(|reason| self.reasons.name(reason)),
            attempt,
            source,
            destination,
            service,
            expected,
        }
    }

    /// Returns whether a destination outside the cluster has refused: the packet left the node, and where it went nobody
    /// enforces the cluster's policies.
    fn is_refused_outside(&self, attempt: &Attempt, destination: &Endpoint) -> bool {
        attempt.observed == Observed::Reset && attempt.left_node && *destination == Endpoint::World
    }

    /// Returns whether something on this node has refused in the name of a destination outside: all packets that leave the
    /// node are seen, and the attempt's were not among them.
    fn is_refused_on_the_way(
        &self,
        attempt: &Attempt,
        interfaces: &PodInterfaces,
        destination: &Endpoint,
    ) -> bool {
        attempt.observed == Observed::Reset && self.stayed_on_the_node(attempt, interfaces, destination)
    }

    /// Returns whether something on this node has answered in the name of a destination outside: all packets that leave the
    /// node are seen, and the attempt's were not among them.
    fn is_answered_on_the_way(
        &self,
        attempt: &Attempt,
        interfaces: &PodInterfaces,
        destination: &Endpoint,
    ) -> bool {
        attempt.observed == Observed::Established && self.stayed_on_the_node(attempt, interfaces, destination)
    }

    /// Returns whether all that a pod of this node has sent to a destination outside has stayed on this node. Where the
    /// destination is a Service, its endpoint may be on the node.
    fn stayed_on_the_node(
        &self,
        attempt: &Attempt,
        interfaces: &PodInterfaces,
        destination: &Endpoint,
    ) -> bool {
        let address = attempt.tuple.destination.address;
        attempt.tuple.protocol == Protocol::Tcp
            && !attempt.pre_existing
            && !attempt.reached_outside()
            && attempt.source_interface.is_some()
            && *destination == Endpoint::World
            && interfaces.owner(address).is_none()
            && !interfaces.host().contains(&address)
            && interfaces.sees_exits(attempt.began)
            && attempt.service_address.is_none()
            && self.service(attempt).is_none()
    }

    /// Returns whether an attempt went to a Service, and the endpoint it was translated to is not known.
    #[must_use]
    pub fn lacks_endpoint(&self, attempt: &Attempt) -> bool {
        attempt.service_address.is_none() && self.service(attempt).is_some()
    }

    /// Returns the Service that the opener addressed.
    fn service(&self, attempt: &Attempt) -> Option<Arc<str>> {
        let service_address = attempt.service_address.unwrap_or(attempt.tuple.destination);
        let (service, _) = self.state()?.snapshot().service_at(attempt.tuple.protocol, service_address)?;
        Some(service.key.clone())
    }

    fn is_api_server(&self, at: SocketAddress) -> bool {
        self.state().is_some_and(|state| is_api_server(state.snapshot().addresses(), at))
    }

    /// Resolves the two addresses at the time when the attempt began.
    fn endpoints(&self, attempt: &Attempt, interfaces: &PodInterfaces) -> (Resolution, Resolution) {
        let Some(state) = self.state() else {
            let world = Resolution::Known { endpoint: Endpoint::World, since: Monotonic::ZERO };
            return (world.clone(), world);
        };
        let at = attempt.began;
        let endpoint = |address, interface: Option<u32>, is_active| {
            let assigned_at = interfaces.assigned_at(address, interface, at, is_active);
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
            endpoint(tuple.source.address, attempt.source_interface, true),
            endpoint(tuple.destination.address, attempt.destination_interface, attempt.is_answered()),
        )
    }

    /// Returns whether the verdict on a connection between two endpoints depends on kinds of objects that are not
    /// usable.
    fn needs_unusable_kind(&self, source: &Endpoint, destination: &Endpoint) -> bool {
        let unusable = self.unusable;
        if unusable.is_empty() {
            return false;
        }
        let pods = matches!((source, destination), (Endpoint::Pod(_), Endpoint::Pod(_)));
        unusable.iter().any(|kind| match kind {
            // An endpoint that is not a pod may be a node, whose kubelet no policy blocks, or the address of a Service.
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

    /// Returns the reason if the attempt's packets came out of a pod's interface with an address that is not that
    /// pod's. An interface without a pod behind it is an uplink, where any address is correct.
    fn spoofed(&self, attempt: &Attempt, interfaces: &PodInterfaces) -> Option<Undecidable> {
        let interface = interfaces.get(attempt.spoof_candidate?)?;
        let snapshot = self.state()?.snapshot();
        let is_pod = interface.addresses.iter().any(|address| snapshot.pod_by_ip(*address).is_some());
        (is_pod && !interface.addresses.contains(&attempt.tuple.source.address))
            .then_some(Undecidable::SpoofedSource)
    }

    /// Returns the result that is expected of an enforcer. A new pod may not be allowed anywhere yet, and its labels
    /// may not be known yet. Only its isolation by NetworkPolicies holds from its first moment, by the API's
    /// definition. An address that the API has not reported yet may belong to a pod, so it does not count as outside
    /// the cluster.
    fn expected(&self, context: &AttemptContext<'_>) -> Expected {
        let expected = self.states.expected(context);
        if !outcome(&expected, context.attempt.observed, Reach::of(context.attempt)).is_finding() {
            return expected;
        }
        if self.has_unknown_pod(context) {
            return Expected::Undecidable(Undecidable::UnknownAddress);
        }
        if expected.is_isolation() || !self.states.is_new(context) {
            return expected;
        }
        Expected::Undecidable(Undecidable::RecentChange)
    }

    /// Returns whether an endpoint is a pod, by its interface or its address, that the API has not reported.
    fn has_unknown_pod(&self, context: &AttemptContext<'_>) -> bool {
        let Some(state) = self.state() else { return false };
        let (tuple, attempt) = (&context.attempt.tuple, context.attempt);
        let endpoints = [
            (context.source, tuple.source.address, attempt.source_interface),
            (context.destination, tuple.destination.address, attempt.destination_interface),
        ];
        endpoints.into_iter().any(|(endpoint, address, interface)| {
            *endpoint == Endpoint::World && (interface.is_some() || state.snapshot().is_for_pods(address))
        })
    }
}

/// See [`PodInterfaces::unclear_until`]. The source is active, and so is a destination that answered.
fn unclear_until(attempt: &Attempt, interfaces: &PodInterfaces) -> Option<Monotonic> {
    // The start of the connection was not seen.
    if attempt.pre_existing {
        return None;
    }
    let unclear = |address, interface| interfaces.unclear_until(address, interface, attempt.began);
    let (tuple, spoofs) = (&attempt.tuple, attempt.spoof_candidate.is_some());
    let source = if spoofs { None } else { unclear(tuple.source.address, attempt.source_interface) };
    let destination = unclear(tuple.destination.address, attempt.destination_interface);
    source.max(destination.filter(|_| attempt.is_answered()))
}

/// Returns the endpoint, and since when it is known. An unresolved address counts as [`Endpoint::World`].
fn endpoint_of(resolution: Resolution) -> (Endpoint, Monotonic) {
    match resolution {
        Resolution::Known { endpoint, since } => (endpoint, since),
        Resolution::Pending { .. } | Resolution::Unclear => (Endpoint::World, Monotonic::ZERO),
    }
}
