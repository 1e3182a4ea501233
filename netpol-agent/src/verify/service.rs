//! The expected result of a connection to a Service's address, while its endpoint is not known.

use std::{net::IpAddr, slice};

use crate::{
    cluster::Snapshot,
    model::{Attempt, Expected, Service, Undecidable, object::ServicePort},
    policy::{ConnectionPeer, Engine, Query},
};

/// Returns the result that the policies declare for all ready endpoints, if it is the same for each.
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
        // The Service itself may have refused the connection.
        Some(Expected::Allowed { .. }) if service.is_choosy && attempt.observed.was_stopped() => unknown,
        verdict => verdict.unwrap_or(unknown),
    }
}

/// Returns the ready endpoints behind a Service's port with the IP family of the address that was used, and their port.
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
