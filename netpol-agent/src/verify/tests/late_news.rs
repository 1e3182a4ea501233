//! What is judged once more, with what has come since; and what is not known well enough to be wrong.

use jiff::Timestamp;

use super::{
    super::{Clock, Judge, RecheckQueue},
    CLUSTER, DB, DROPPED, FREE, GRACE, SECOND, WEB, attempt, engine, interfaces, judge, reasons, why,
    without_policy,
};
use crate::model::{Observed, Outcome, Undecidable};

/// What an enforcer has had may come here later: what looks wrong is judged once more, with what has come since.
#[test]
fn news_after_the_decision() {
    let mut judge = judge();
    let wrong = attempt(FREE, DB, 5432, Observed::Established);
    assert_eq!(judge.judge(wrong, &interfaces()).outcome, Outcome::NotEnforced);
    judge.set_state(engine(&without_policy()), 101 * SECOND + SECOND / 5);
    for (until, outcome, reason) in [
        (101 * SECOND, Outcome::NotEnforced, None),
        (103 * SECOND, Outcome::Undecidable, Some(Undecidable::RecentChange)),
    ] {
        let flow = judge.judge_until(wrong, &interfaces(), until);
        assert_eq!((flow.outcome, why(&flow)), (outcome, reason.as_ref()), "{until}");
    }
}

/// What looks wrong is held, and what is like it behind it: a finding is not resolved before it is opened.
#[test]
fn held_attempts() {
    let judge = judge();
    let mut rechecks = RecheckQueue::default();
    let mut push_if_suspect = |from: &str, observed, decided: u64| {
        let mut attempt = attempt(from, DB, 5432, observed);
        attempt.decided_ns = decided * SECOND;
        rechecks.push_if_suspect(&judge.judge(attempt, &interfaces()))
    };
    assert!(!push_if_suspect(FREE, DROPPED, 100), "right, and nothing like it is held");
    assert!(push_if_suspect(FREE, Observed::Established, 101), "wrong");
    assert!(push_if_suspect(FREE, DROPPED, 102), "right, after a wrong one");
    assert!(!push_if_suspect(FREE, Observed::Unanswered, 102), "proves nothing");
    assert!(!push_if_suspect(WEB, Observed::Established, 102), "right, and from elsewhere");
    let mut due = |second: u64| rechecks.pop_due(second * SECOND).map(|attempt| attempt.observed);
    assert_eq!(due(102), None);
    assert_eq!(due(103), Some(Observed::Established));
    assert_eq!(due(103), None);
    assert_eq!(due(104), Some(DROPPED));
    assert_eq!(due(200), None);
}

/// A pod that the API has not told of is not the outside: what looks wrong about it proves nothing.
#[test]
fn pods_that_are_not_known() {
    let ranges = "
---
{apiVersion: v1, kind: Node, metadata: {name: other}, spec: {podCIDR: 10.0.7.0/24, podCIDRs: [10.0.7.0/24, 'fd00:7::/64']}}
";
    let mut judge = Judge::new(Clock { boot: Timestamp::UNIX_EPOCH }, reasons(), GRACE);
    judge.set_state(engine(&format!("{CLUSTER}{ranges}")), SECOND);
    for (from, to, observed, outcome) in [
        ("10.0.7.9", DB, Observed::Established, Outcome::Undecidable),
        ("10.0.8.9", DB, Observed::Established, Outcome::NotEnforced),
        // Behind a veth of this node.
        ("172.16.0.1", DB, Observed::Established, Outcome::Undecidable),
        (FREE, "10.0.7.9", DROPPED, Outcome::Undecidable),
        (FREE, "10.0.8.9", DROPPED, Outcome::OverBlocked),
        // Nobody has to be known for these.
        ("10.0.7.9", DB, DROPPED, Outcome::Enforced),
        ("10.0.7.9", FREE, Observed::Established, Outcome::Conforming),
    ] {
        let flow = judge.judge(attempt(from, to, 5432, observed), &interfaces());
        assert_eq!(flow.outcome, outcome, "{from} -> {to} {observed}: {:?}", flow.expected);
        if outcome == Outcome::Undecidable {
            assert_eq!(why(&flow), Some(&Undecidable::UnknownAddress), "{from} -> {to}");
        }
    }
}

/// A Service that hands connections to its client's own node alone, or takes them from some places alone, drops others.
#[test]
fn services_that_refuse() {
    let service = |spec: &str| {
        format!(
            "{CLUSTER}
---
{{apiVersion: v1, kind: Service, metadata: {{name: free, namespace: tools}},
 spec: {{clusterIP: 10.96.0.9, ports: [{{port: 80}}]{spec}}}}}
---
{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice,
 metadata: {{name: free, namespace: tools, labels: {{kubernetes.io/service-name: free}}}},
 addressType: IPv4, endpoints: [{{addresses: [10.0.0.3]}}], ports: [{{port: 80}}]}}"
        )
    };
    for (spec, outcome) in [
        ("", Outcome::OverBlocked),
        (", internalTrafficPolicy: Cluster, externalTrafficPolicy: Cluster", Outcome::OverBlocked),
        (", internalTrafficPolicy: Local", Outcome::Undecidable),
        (", externalTrafficPolicy: Local", Outcome::Undecidable),
        (", loadBalancerSourceRanges: [192.0.2.0/24]", Outcome::Undecidable),
    ] {
        let mut judge = Judge::new(Clock { boot: Timestamp::UNIX_EPOCH }, reasons(), GRACE);
        judge.set_state(engine(&service(spec)), SECOND);
        let flow = judge.judge(attempt(WEB, "10.96.0.9", 80, DROPPED), &interfaces());
        assert_eq!(flow.outcome, outcome, "{spec}: {:?}", flow.expected);
    }
}
