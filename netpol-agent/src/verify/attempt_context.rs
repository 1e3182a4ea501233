//! An attempt, and who was at its ends: what a cluster state says of it.

use std::{net::IpAddr, slice, sync::Arc};

use super::service;
use crate::{
    cluster::Snapshot,
    identity::{PodInterfaces, own_node},
    model::{Attempt, Endpoint, Expected, Monotonic, Pod, Undecidable},
    policy::{ConnectionPeer, Engine, Query},
};

/// An attempt, and who was at its ends.
#[derive(Clone, Copy)]
pub(super) struct AttemptContext<'a> {
    pub(super) attempt: &'a Attempt,
    pub(super) interfaces: &'a PodInterfaces,
    pub(super) source: &'a Endpoint,
    pub(super) destination: &'a Endpoint,
    /// Since when the younger of the two ends is known, zero for long ago.
    pub(super) since: Monotonic,
    /// Until when news counts.
    pub(super) until: Monotonic,
}

/// Whom a state has at the addresses of a case.
#[derive(Clone, Copy)]
pub(super) struct StateView<'e> {
    state: &'e Engine,
    source: ConnectionPeer<'e>,
    destination: ConnectionPeer<'e>,
    /// Whether these are the same as in the case.
    pub(super) holders: OwnerMatch,
}

/// Who has the addresses that pods of a case had.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum OwnerMatch {
    /// Those pods.
    Same,
    /// Other pods, at least one of them.
    Others,
    /// At least one of them is nobody's.
    Missing,
}

impl AttemptContext<'_> {
    /// What a state sees.
    pub(super) fn view<'e>(&self, state: &'e Engine) -> StateView<'e> {
        let tuple = &self.attempt.tuple;
        let source = self.party(state, tuple.source.address);
        let destination = self.party(state, tuple.destination.address);
        let holders = holder(self.source, source).max(holder(self.destination, destination));
        StateView { state, source, destination, holders }
    }

    fn party<'e>(&self, state: &'e Engine, address: IpAddr) -> ConnectionPeer<'e> {
        let snapshot = state.snapshot();
        if let Some(pod) = snapshot.pod_by_ip(address) {
            return ConnectionPeer::PodAt(pod, address);
        }
        match own_node(snapshot.addresses(), self.interfaces.host(), address) {
            Some(node) => ConnectionPeer::NodeAt(node, address),
            None => ConnectionPeer::Ip(address),
        }
    }

    /// Whether an address may be another pod's already: its pod was ending, and no veth of this node tells.
    pub(super) fn is_doubtful(&self, view: &StateView<'_>) -> bool {
        let is_ending = |party| matches!(party, ConnectionPeer::PodAt(pod, _) if pod.is_ending);
        (self.attempt.source_interface.is_none() && is_ending(view.source))
            || (self.attempt.destination_interface.is_none() && is_ending(view.destination))
    }

    /// What the policies of a state say of those that it has there.
    pub(super) fn expected(&self, view: &StateView<'_>) -> Expected {
        let (state, tuple) = (view.state, &self.attempt.tuple);
        if self.attempt.service_address.is_none()
            && let Some((service, port)) = state.snapshot().service_at(tuple.protocol, tuple.destination)
        {
            // The packet was seen before its destination was translated: who answers is not known. What the host has for
            // an address, and nobody translated, a program on the host answers.
            if self.interfaces.host().contains(&tuple.destination.address) {
                return Expected::Undecidable(Undecidable::ServiceAddress);
            }
            return service::expected(state, (service, port), self.attempt);
        }
        let query = Query {
            source: view.source,
            destination: view.destination,
            protocol: tuple.protocol,
            port: tuple.destination.port,
            via_service: self.attempt.service_address.as_ref().map(|at| slice::from_ref(&at.address)),
        };
        state.evaluate(&query).expected()
    }

    /// Whether what policies say of a pod is the same in two states: that of a pod which only one of them has, too.
    pub(super) fn has_like_policies(&self, a: &StateView<'_>, b: &StateView<'_>) -> bool {
        let (a, b) = (a.state.snapshot(), b.state.snapshot());
        let pods = [self.source, self.destination].into_iter().filter_map(Endpoint::pod);
        // Which endpoints a Service had is not compared.
        a.policies_since() == b.policies_since()
            && !matches!(self.destination, Endpoint::Service(_))
            && pods.into_iter().all(|pod| has_like_labels(a, b, pod.namespace()))
    }
}

impl StateView<'_> {
    /// Whether another state surely sees the same, and says the same of it. The endpoints of a Service are not compared.
    pub(super) fn is_same_in(&self, other: &Engine, case: &AttemptContext<'_>) -> bool {
        !matches!(case.destination, Endpoint::Service(_))
            && self.state.is_same_for(other, self.source, self.destination)
    }

    /// Whether no policy tells the pods in it from those that another has at the same address.
    pub(super) fn has_like_pods(&self, other: &Self) -> bool {
        let are_alike = |a: ConnectionPeer<'_>, b: ConnectionPeer<'_>| match (a, b) {
            (ConnectionPeer::PodAt(a, _), ConnectionPeer::PodAt(b, _)) => a.class == b.class,
            _ => true,
        };
        are_alike(self.source, other.source) && are_alike(self.destination, other.destination)
    }
}

/// Who has an address that was this end's.
fn holder(end: &Endpoint, now: ConnectionPeer<'_>) -> OwnerMatch {
    match (end.pod(), now) {
        (Some(pod), ConnectionPeer::PodAt(holder, _)) if !is_same(pod, holder) => OwnerMatch::Others,
        (Some(_), ConnectionPeer::PodAt(..)) | (None, _) => OwnerMatch::Same,
        (Some(_), _) => OwnerMatch::Missing,
    }
}

/// Whether both are one pod, be it at different times.
fn is_same(a: &Arc<Pod>, b: &Arc<Pod>) -> bool {
    Arc::ptr_eq(a, b) || (a.key == b.key && a.uid == b.uid)
}

/// Whether a namespace has the same labels in two states, if it is in both.
fn has_like_labels(a: &Snapshot, b: &Snapshot, namespace: &str) -> bool {
    match (a.namespace(namespace), b.namespace(namespace)) {
        (Some(a), Some(b)) => a.labels == b.labels,
        _ => true,
    }
}
