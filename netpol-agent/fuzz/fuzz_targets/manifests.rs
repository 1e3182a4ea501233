//! Any bytes as manifests: they parse or are refused, compile, and judge connections, and nothing panics.

#![no_main]

use libfuzzer_sys::fuzz_target;
use netpol_agent::{
    cluster::manifests,
    model::Protocol,
    policy::{Engine, Party, Query},
};

/// Judged pods are at most this many: pairs are their square.
const MAX_PODS: usize = 8;

fuzz_target!(|bytes: &[u8]| {
    let manifests = manifests::parse_bytes("fuzz.yaml", bytes);
    for error in &manifests.errors {
        assert!(!error.to_string().is_empty());
    }
    let engine = Engine::compile(&manifests.snapshot());
    let pods: Vec<_> = engine.snapshot().pods().take(MAX_PODS).cloned().collect();
    let outside = ["8.8.8.8", "169.254.169.254", "::1", "10.0.0.1"].map(|ip| ip.parse().map(Party::Ip));
    let ends: Vec<Party<'_>> = pods.iter().map(Party::Pod).chain(outside.into_iter().flatten()).collect();
    for source in &ends {
        for destination in &ends {
            for (protocol, port) in [(Protocol::Tcp, 80), (Protocol::Udp, 53), (Protocol::Icmp, 0)] {
                let addresses = engine.service_addresses(*destination);
                let via_service = (port == 80).then_some(&*addresses);
                let query = Query { source: *source, destination: *destination, protocol, port, via_service };
                let verdict = engine.evaluate(&query);
                for side in verdict.directions() {
                    // What NetworkPolicies decide, they allow exactly where a rule admits it.
                    let admitted = side.allowing().next().is_some();
                    assert!(side.isolating().is_empty() || side.allowed == admitted);
                }
                let _ = verdict.expected();
            }
        }
    }
});
