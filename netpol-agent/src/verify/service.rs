//! What the policies say of a connection to a Service's address, while it is not known which endpoint will answer.

use std::{net::IpAddr, slice};

use crate::{
    cluster::Snapshot,
    model::{Attempt, Expected, Service, Undecidable, object::ServicePort},
    policy::{ConnectionPeer, Engine, Query},
};

/// What the policies say of all endpoints that may be chosen, where they say the same of each.
pub(super) fn expected(
    engine: &Engine,
    (service, port): (&Service, Option<&ServicePort>),
    attempt: &Attempt,
) -> Expected {
    let tuple = &attempt.tuple;
    let unknown = Expected::Undecidable(Undecidable::ServiceAddress);
    let mut verdict: Option<Expected> = None;
    let endpoints = port.into_iter().flat_map(|port| endpoints(engine.snapshot(), service, port, attempt));
    for (address, port) in endpoints {
        let query = Query {
            source: ConnectionPeer::Ip(tuple.source.address),
            destination: ConnectionPeer::Ip(address),
            protocol: tuple.protocol,
            port,
            via_service: Some(slice::from_ref(&tuple.destination.address)),
        };
        let next = engine.evaluate(&query).expected();
        match &verdict {
            Some(before) if std::mem::discriminant(before) != std::mem::discriminant(&next) => {
                return unknown;
            }
            Some(_) => {}
            None => verdict = Some(next),
        }
    }
    match verdict {
        // It may have been the Service that kept the connection out.
        Some(Expected::Allowed { .. }) if service.is_choosy && attempt.observed.was_stopped() => unknown,
        verdict => verdict.unwrap_or(unknown),
    }
}

/// The ready endpoints behind a Service's port, of the family of the address that was used, and their port.
fn endpoints(
    snapshot: &Snapshot,
    service: &Service,
    served: &ServicePort,
    attempt: &Attempt,
) -> impl Iterator<Item = (IpAddr, u16)> {
    let (protocol, used) = (served.protocol, attempt.tuple.destination.address);
    let slices = snapshot.endpoint_slices(&service.key).filter_map(move |slice| {
        let port = slice.ports.iter().find(|port| port.name == served.name && port.protocol == protocol)?;
        Some((slice, port.port))
    });
    slices.flat_map(move |(slice, port)| {
        let ready = slice.ready.iter().filter(move |ip| ip.is_ipv4() == used.is_ipv4());
        ready.map(move |ip| (*ip, port))
    })
}
