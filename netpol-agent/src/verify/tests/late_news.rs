//! Attempts that are judged again after later reports, and attempts about which too little is known.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    super::{Clock, Judge},
    CLUSTER, DB, DROPPED, FREE, GRACE, KEEP, WEB, at, attempt, engine, interfaces, judge, reasons, why,
    without_policy,
};
use crate::model::{Observed, Outcome, Undecidable};

/// The agent may receive a change later than an enforcer. A wrong-looking attempt is judged again with the later
/// changes.
#[test]
fn reports_after_the_decision() {
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

/// A pod that the API has not reported is not outside the cluster: a wrong-looking connection of it proves nothing.
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
        // Behind an interface of this node.
        ("172.16.0.1", DB, Observed::Established, Outcome::Undecidable),
        (FREE, "10.0.7.9", DROPPED, Outcome::Undecidable),
        (FREE, "10.0.8.9", DROPPED, Outcome::OverBlocked),
        // These need no known endpoint.
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

/// A Service drops connections if it forwards only to the client's own node, or accepts only some source ranges.
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
