//! What is judged once more, with what has come since; and what is not known well enough to be wrong.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    super::{Clock, Judge},
    CLUSTER, DB, DROPPED, FREE, GRACE, KEEP, WEB, at, attempt, engine, interfaces, judge, reasons, why,
    without_policy,
};
use crate::model::{Observed, Outcome, Undecidable};

/// What an enforcer has had may come here later: what looks wrong is judged once more, with what has come since.
#[test]
fn news_after_the_decision() {
    let mut judge = judge();
    let wrong = attempt(FREE, DB, 5432, Observed::Established);
    assert_eq!(judge.judge(wrong, &interfaces()).outcome, Outcome::NotEnforced);
    judge.set_state(engine(&without_policy()), at(101) + Duration::from_millis(200));
    for (until, outcome, reason) in [
        (at(101), Outcome::NotEnforced, None),
        (at(103), Outcome::Undecidable, Some(Undecidable::RecentChange)),
    ] {
        let flow = judge.judge_until(wrong, &interfaces(), until);
        assert_eq!((flow.outcome, why(&flow)), (outcome, reason.as_ref()), "{until:?}");
    }
}

/// A pod that the API has not told of is not the outside: what looks wrong about it proves nothing.
#[test]
fn pods_that_are_not_known() {
    let ranges = "
---
{apiVersion: v1, kind: Node, metadata: {name: other}, spec: {podCIDR: 10.0.7.0/24, podCIDRs: [10.0.7.0/24, 'fd00:7::/64']}}
";
    let mut judge = Judge::new(Clock { boot: Timestamp::UNIX_EPOCH }, reasons(), GRACE, KEEP);
    judge.set_state(engine(&format!("{CLUSTER}{ranges}")), at(1));
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
        let mut judge = Judge::new(Clock { boot: Timestamp::UNIX_EPOCH }, reasons(), GRACE, KEEP);
        judge.set_state(engine(&service(spec)), at(1));
        let flow = judge.judge(attempt(WEB, "10.96.0.9", 80, DROPPED), &interfaces());
        assert_eq!(flow.outcome, outcome, "{spec}: {:?}", flow.expected);
    }
}
