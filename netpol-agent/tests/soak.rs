//! A short soak: random clusters, enforcers and traffic, and what the agent tells compared with what really happened.
//! `cargo xtask soak` has the long one.

use std::path::PathBuf;

use netpol_testkit::{skip::is_older_kernel, soak::Soak};

/// Two rounds of few connections. The seed chooses the enforcer: none at all, and one that is right.
#[test]
fn two_short_rounds() {
    if is_older_kernel("the reason of a drop", (5, 18)) {
        return;
    }
    let soak = Soak {
        agent: PathBuf::from(env!("CARGO_BIN_EXE_netpol-agent")),
        seed: 18,
        rounds: 2,
        connections: 100,
        jobs: 2,
        attacks: false,
    };
    let report = soak.run(|_| ()).unwrap();
    assert_eq!(report.wrong().count(), 0, "{report}");
    assert!(report.leaks() > 0, "nothing leaked where nothing is enforced: {report}");
    assert!(report.connections() > report.leaks(), "{report}");
}
