//! What was seen to arrive or to leave the node, and what was not.

use super::*;

/// Beside the policies of the cluster: `free` may not connect to anything outside.
fn judge_of_egress() -> Judge {
    let policy = "
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: free, namespace: tools},
 spec: {podSelector: {}, policyTypes: [Egress]}}
";
    let mut judge = judge();
    judge.set_state(engine(&(CLUSTER.to_owned() + policy)), at(2));
    judge
}

/// Exits of the node are watched since its start.
fn with_exits() -> PodInterfaces {
    let mut interfaces = interfaces();
    interfaces.set_exits_seen_since(Some(Monotonic::ZERO));
    interfaces
}

#[test]
fn outside_the_cluster() {
    use Observed::{Established, LeftNode, Rejected, Reset, Unanswered};
    const OUTSIDE: &str = "192.0.2.1";
    let unknown = Outcome::Undecidable;
    for (from, observed, left_node, outcome, named) in [
        (FREE, LeftNode, true, Outcome::NotEnforced, LeftNode),
        (FREE, Unanswered, false, Outcome::PresumedEnforced, Unanswered),
        (FREE, Reset, true, Outcome::NotEnforced, Observed::Refused),
        (FREE, Reset, false, Outcome::Enforced, Rejected),
        (FREE, Established, true, Outcome::NotEnforced, Established),
        // Something on the node answers.
        (FREE, Established, false, unknown, Established),
        (WEB, LeftNode, true, Outcome::Unanswered, LeftNode),
        (WEB, Reset, true, Outcome::Conforming, Observed::Refused),
        (WEB, Reset, false, unknown, Reset),
        (WEB, Established, true, Outcome::Conforming, Established),
        (WEB, Established, false, unknown, Established),
    ] {
        let attempt = Attempt { left_node, ..attempt(from, OUTSIDE, 80, observed) };
        let flow = judge_of_egress().judge(attempt, &with_exits());
        assert_eq!((flow.outcome, flow.attempt.observed), (outcome, named), "{from} {observed} {left_node}");
    }
    let flow = judge_of_egress().judge(attempt(FREE, OUTSIDE, 80, Established), &interfaces());
    assert_eq!(flow.outcome, Outcome::NotEnforced, "where exits are not watched, an answer is enough");
}

/// A packet that arrived is a leak, whatever else was not seen; but only if policies deny it.
#[test]
fn arrived() {
    use Observed::{Proxied, Rejected};
    for (from, observed, records_lost, outcome) in [
        (FREE, Proxied, false, Outcome::NotEnforced),
        (FREE, Rejected, true, Outcome::NotEnforced),
        (FREE, DROPPED, false, Outcome::NotEnforced),
        (WEB, Proxied, false, Outcome::Undecidable),
        (WEB, Rejected, true, Outcome::Undecidable),
        (WEB, Rejected, false, Outcome::OverBlocked),
    ] {
        let attempt = Attempt { arrived: true, records_lost, ..attempt(from, DB, 5432, observed) };
        let flow = judge().judge(attempt, &interfaces());
        assert_eq!(flow.outcome, outcome, "{from} {observed}, records lost: {records_lost}");
    }
    let forged =
        Attempt { arrived: true, source_unseen: true, ..attempt(FREE, DB, 5432, Observed::Delivered) };
    assert_eq!(why(&judge().judge(forged, &interfaces())), Some(&Undecidable::SpoofedSource));
}
