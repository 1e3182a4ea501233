//! All ports of a connection at once.

use super::PortAnswer;
use crate::{
    model::Protocol,
    policy::{ConnectionPeer, Engine, Query},
};

/// The protocols that policies can name.
const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

/// The ports on which a connection is permitted.
#[must_use]
pub fn permitted_ports(
    engine: &Engine,
    source: ConnectionPeer<'_>,
    destination: ConnectionPeer<'_>,
) -> Vec<PortAnswer> {
    let mut permitted: Vec<PortAnswer> = Vec::new();
    for protocol in PROTOCOLS {
        let query = |port| Query { source, destination, protocol, port, via_service: None };
        let starts: Vec<u16> = engine.port_boundaries(&query(1)).into_iter().collect();
        let ends = starts.iter().skip(1).map(|start| start - 1).chain([u16::MAX]);
        for (first, last) in starts.iter().copied().zip(ends) {
            let verdict = engine.evaluate(&query(first));
            if !verdict.allowed() {
                continue;
            }
            let defined = verdict.defined();
            match permitted.last_mut() {
                Some(before)
                    if before.protocol == protocol
                        && before.defined == defined
                        && before.last.checked_add(1) == Some(first) =>
                {
                    before.last = last;
                }
                _ => permitted.push(PortAnswer { protocol, first, last, defined }),
            }
        }
    }
    permitted
}

/// Ports in a few words: `all`, or such as `TCP 80,443,8000-8080 UDP 53`; with `?` where it is up to the implementation.
#[must_use]
pub fn port_text(ports: &[PortAnswer]) -> String {
    let is_all = |protocol: Protocol| {
        ports
            .iter()
            .any(|port| port.protocol == protocol && (port.first, port.last) == (1, u16::MAX) && port.defined)
    };
    if PROTOCOLS.into_iter().all(is_all) {
        return "all".to_owned();
    }
    let of_protocol = |protocol: Protocol| {
        let own: Vec<String> = ports
            .iter()
            .filter(|port| port.protocol == protocol)
            .map(|PortAnswer { first, last, defined, .. }| {
                let unsure = if *defined { "" } else { "?" };
                match (*first, *last) {
                    (1, u16::MAX) => format!("1-65535{unsure}"),
                    (first, last) if first == last => format!("{first}{unsure}"),
                    (first, last) => format!("{first}-{last}{unsure}"),
                }
            })
            .collect();
        (!own.is_empty()).then(|| format!("{protocol} {}", own.join(",")))
    };
    PROTOCOLS.into_iter().filter_map(of_protocol).collect::<Vec<_>>().join(" ")
}
