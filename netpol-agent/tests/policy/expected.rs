//! A verdict as a value: what findings may and may not rest on.

use std::sync::Arc;

use netpol_agent::{
    model::{Expected, NotApplicable, Pod, Protocol, Undecidable},
    policy::{ConnectionPeer, Engine, Query},
};

use crate::dsl::{evaluate, snapshot};

const CLUSTER: &str = "
    node n1 192.168.0.1
    pod shop/a 10.0.0.1 app=a node=n1
    pod shop/b 10.0.0.2 app=b node=n1
    pod shop/c 10.0.0.3 app=c node=n1
    pod shop/h 192.168.0.1 node=n1 host
    policy shop/b {podSelector: {matchLabels: {app: b}}, ingress: [{from: [{podSelector: {matchLabels: {app: a}}}], ports: [{port: 80}]}]}
    policy shop/c {podSelector: {matchLabels: {app: c}}, policyTypes: [Egress]}
    cnp deny {tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Deny, to: [{networks: [169.254.0.0/16]}]}, {action: Accept, to: [{networks: [9.9.9.9/32]}]}]}
    cnp names {tier: Baseline, priority: 1, subject: {namespaces: {}}, egress: [{action: Accept, to: [{domainNames: [example.com]}]}, {action: Deny, to: [{networks: [8.0.0.0/8]}]}]}
";

/// In one line: what, and by which policies and rules.
fn line(expected: &Expected) -> String {
    match expected {
        Expected::Allowed { by } => {
            let rules = by.iter().map(|rule| format!(" {}.{}[{}]", rule.policy, rule.direction, rule.index));
            format!("allowed{}", rules.collect::<String>())
        }
        Expected::Denied { by } => {
            let sides = by.iter().map(|denial| {
                let policies: Vec<String> = denial.policies.iter().map(ToString::to_string).collect();
                format!(" {} of {} by {}", denial.direction, denial.subject, policies.join("+"))
            });
            format!("denied{}", sides.collect::<String>())
        }
        Expected::NotApplicable(why) => format!("not applicable {why:?}"),
        Expected::Undecidable(why) => format!("undecidable {why:?}"),
    }
}

#[test]
fn verdicts_as_values() {
    let engine = Engine::compile(&snapshot(CLUSTER));
    for (flow, expected) in [
        ("shop/a -> shop/b:80", "allowed shop/b.ingress[0]"),
        ("1.1.1.1 -> shop/a:80", "allowed"),
        ("shop/a -> 9.9.9.9:80", "allowed deny.egress[1]"),
        ("shop/a -> shop/b:81", "denied ingress of shop/b by shop/b"),
        ("shop/c -> shop/b:80", "denied egress of shop/c by shop/c ingress of shop/b by shop/b"),
        ("shop/a -> 169.254.169.254:80", "denied egress of shop/a by deny"),
        ("shop/a -> shop/a:80", "not applicable SelfTraffic"),
        ("192.168.0.1 -> shop/b:80", "not applicable NodeTraffic"),
        ("shop/h -> shop/b:80", "not applicable NodeTraffic"),
        ("1.1.1.1 -> 8.8.8.8:80", "not applicable NoPod"),
        ("shop/h -> 8.8.8.8:80", "not applicable HostNetwork"),
        ("shop/a -> 8.8.8.8:80", "undecidable DomainName"),
    ] {
        assert_eq!(line(&evaluate(&engine, flow).expected()), expected, "{flow}");
    }
}

#[test]
fn whatever_is_undefined_is_undecidable() {
    let engine = Engine::compile(&snapshot(CLUSTER));
    for flow in ["shop/a -> shop/b:0/ICMP", "shop/b -> shop/b:80 via service", "shop/b -> shop/h:80"] {
        let verdict = evaluate(&engine, flow);
        assert!(!verdict.defined(), "{flow}");
        let expected = verdict.expected();
        assert!(matches!(expected, Expected::Undecidable(Undecidable::Undefined(_))), "{flow}: {expected:?}");
    }
}

#[test]
fn a_pod_of_another_state_is_undecidable() {
    let engine = Engine::compile(&snapshot(CLUSTER));
    let other = snapshot("pod gone/x 10.0.0.9 app=x");
    let gone: &Arc<Pod> = other.pod("gone/x").unwrap();
    let query = |source, destination| Query {
        source,
        destination,
        protocol: Protocol::Tcp,
        port: 80,
        via_service: None,
    };
    let outside = ConnectionPeer::Ip("8.8.8.8".parse().unwrap());
    let expected = engine.evaluate(&query(ConnectionPeer::Pod(gone), outside)).expected();
    assert!(matches!(expected, Expected::Undecidable(_)), "{expected:?}");
    assert_ne!(expected, Expected::NotApplicable(NotApplicable::NoPod));
}
