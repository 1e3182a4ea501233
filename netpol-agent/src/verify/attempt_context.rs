//! An attempt with its endpoints, and what one cluster state says about it.

use std::{net::IpAddr, slice, sync::Arc};

use super::service;
use crate::{
    cluster::Snapshot,
    identity::{PodInterfaces, own_node},
    model::{Attempt, Endpoint, Expected, Monotonic, Pod, Undecidable},
    policy::{ConnectionPeer, Engine, Query},
};

/// An attempt with its endpoints.
#[derive(Clone, Copy)]
pub(super) struct AttemptContext<'a> {
    pub(super) attempt: &'a Attempt,
    pub(super) interfaces: &'a PodInterfaces,
    pub(super) source: &'a Endpoint,
    pub(super) destination: &'a Endpoint,
    /// Since when both endpoints are known; [`Monotonic::ZERO`] for long ago.
    pub(super) since: Monotonic,
    /// The time up to which changes of the cluster state are considered.
    pub(super) until: Monotonic,
}

/// What one cluster state knows about the addresses of an attempt.
#[derive(Clone, Copy)]
pub(super) struct StateView<'e> {
    state: &'e Engine,
    source: ConnectionPeer<'e>,
    destination: ConnectionPeer<'e>,
    /// Whether the same pods have the addresses as in the attempt.
    pub(super) owner_match: OwnerMatch,
}

/// Whether the pods of an attempt have their addresses in a cluster state.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum OwnerMatch {
    /// The same pods.
    Same,
    /// At least one address belongs to another pod.
    Others,
    /// At least one address belongs to no pod.
    Missing,
}

impl AttemptContext<'_> {
    /// Returns what a cluster state knows about the attempt's addresses.
    pub(super) fn view<'e>(&self, state: &'e Engine) -> StateView<'e> {
        let tuple = &self.attempt.tuple;
        let source = self.peer(state, tuple.source.address);
        let destination = self.peer(state, tuple.destination.address);
        let owner_match = owner_match(self.source, source).max(owner_match(self.destination, destination));
        StateView { state, source, destination, owner_match }
    }

    fn peer<'e>(&self, state: &'e Engine, address: IpAddr) -> ConnectionPeer<'e> {
        let snapshot = state.snapshot();
        if let Some(pod) = snapshot.pod_by_ip(address) {
            return ConnectionPeer::PodAt(pod, address);
        }
        match own_node(snapshot.addresses(), self.interfaces.host(), address) {
            Some(node) => ConnectionPeer::NodeAt(node, address),
            None => ConnectionPeer::Ip(address),
        }
    }

    /// Returns whether an address may already belong to another pod: its pod was terminating, and was seen at no
    /// interface of this node.
    pub(super) fn may_be_reused(&self, view: &StateView<'_>) -> bool {
        let is_terminating = |peer| matches!(peer, ConnectionPeer::PodAt(pod, _) if pod.is_ending);
        (self.attempt.source_interface.is_none() && is_terminating(view.source))
            || (self.attempt.destination_interface.is_none() && is_terminating(view.destination))
    }

    /// Returns the result that the policies of a state declare for the pods that the state has at the addresses.
    pub(super) fn expected(&self, view: &StateView<'_>) -> Expected {
        let (state, tuple) = (view.state, &self.attempt.tuple);
        if self.attempt.service_address.is_none()
            && let Some((service, port)) = state.snapshot().service_at(tuple.protocol, tuple.destination)
        {
            // The packet was seen before its destination was translated, so the endpoint is not known. If the host
            // itself has the address and nothing was translated, a program on the host answers.
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

    /// Returns whether two states agree on the policies and namespace labels that concern the attempt's pods. A
    /// namespace that only one of the states has counts as equal.
    pub(super) fn has_same_policies(&self, a: &StateView<'_>, b: &StateView<'_>) -> bool {
        let (a, b) = (a.state.snapshot(), b.state.snapshot());
        let pods = [self.source, self.destination].into_iter().filter_map(Endpoint::pod);
        // The endpoints of a Service are not compared.
        a.policies_since() == b.policies_since()
            && !matches!(self.destination, Endpoint::Service(_))
            && pods.into_iter().all(|pod| has_same_labels(a, b, pod.namespace()))
    }
}

impl StateView<'_> {
    /// Returns whether another state surely has the same pods at the addresses, and the same verdict on them. The
    /// endpoints of a Service are not compared.
    pub(super) fn is_same_in(&self, other: &Engine, context: &AttemptContext<'_>) -> bool {
        !matches!(context.destination, Endpoint::Service(_))
            && self.state.is_same_for(other, self.source, self.destination)
    }

    /// Returns whether the pods in two states are the same to every policy, where both states have a pod at the
    /// address.
    pub(super) fn has_same_pods(&self, other: &Self) -> bool {
        let are_same = |a: ConnectionPeer<'_>, b: ConnectionPeer<'_>| match (a, b) {
            (ConnectionPeer::PodAt(a, _), ConnectionPeer::PodAt(b, _)) => a.class == b.class,
            _ => true,
        };
        are_same(self.source, other.source) && are_same(self.destination, other.destination)
    }
}

/// Returns who has, in a state, the address of an endpoint.
fn owner_match(endpoint: &Endpoint, current: ConnectionPeer<'_>) -> OwnerMatch {
    match (endpoint.pod(), current) {
        (Some(pod), ConnectionPeer::PodAt(owner, _)) if !is_same(pod, owner) => OwnerMatch::Others,
        (Some(_), ConnectionPeer::PodAt(..)) | (None, _) => OwnerMatch::Same,
        (Some(_), _) => OwnerMatch::Missing,
    }
}

/// Returns whether two values are the same pod, possibly at different times.
fn is_same(a: &Arc<Pod>, b: &Arc<Pod>) -> bool {
    Arc::ptr_eq(a, b) || (a.key == b.key && a.uid == b.uid)
}

/// Returns whether a namespace has the same labels in two states, if both have it.
fn has_same_labels(a: &Snapshot, b: &Snapshot, namespace: &str) -> bool {
    match (a.namespace(namespace), b.namespace(namespace)) {
        (Some(a), Some(b)) => a.labels == b.labels,
        _ => true,
    }
}
