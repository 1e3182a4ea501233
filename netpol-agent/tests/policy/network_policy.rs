//! `networking.k8s.io/v1` NetworkPolicy, and what surrounds it.

use crate::dsl::{check, refused};

const PODS: &str = "
    ns shop team=shop
    ns ops team=ops
    node n1 192.168.0.1
    node n2 192.168.0.2
    pod shop/a 10.0.0.1 app=a node=n1
    pod shop/b 10.0.0.2 fd00::2 app=b tier=back node=n1 port=http:8080 port=dns:53/UDP
    pod ops/c 10.0.1.1 app=a node=n2
    pod ops/h 192.168.0.2 app=h node=n2 host
    pod ops/l 192.168.0.1 app=h node=n1 host
";

/// One policy, one flow, what is to be expected.
#[track_caller]
fn row(spec: &str, flow: &str, expect: &str) {
    check(&format!("{PODS}\npolicy shop/p {spec}"), flow, expect);
}

#[test]
fn without_policies_everything_is_allowed() {
    check(PODS, "shop/a -> shop/b:80", "allow defined egress=default ingress=default");
    check(PODS, "1.1.1.1 -> shop/b:80", "allow defined egress=no-subject ingress=default");
    check(PODS, "1.1.1.1 -> 8.8.8.8:80", "allow defined egress=no-subject ingress=no-subject");
}

#[test]
fn isolation_is_per_direction_and_by_selection() {
    let deny_in = "{podSelector: {matchLabels: {app: b}}, ingress: []}";
    row(deny_in, "shop/a -> shop/b:80", "deny ingress=NetworkPolicy ingress.isolating=shop/p egress=default");
    row(deny_in, "shop/b -> shop/a:80", "allow ingress=default egress=default");
    row(deny_in, "shop/b -> 8.8.8.8:53/UDP", "allow egress=default");
    let deny_out = "{podSelector: {matchLabels: {app: a}}, policyTypes: [Egress]}";
    row(deny_out, "shop/a -> shop/b:80", "deny egress=NetworkPolicy egress.isolating=shop/p ingress=default");
    row(deny_out, "ops/c -> shop/b:80", "allow egress=default");
    row(deny_out, "ops/c -> shop/a:80", "allow ingress=default");
}

#[test]
fn peers_that_the_api_refuses() {
    refused("policy shop/p {ingress: [{from: [{}]}]}", "spec.ingress[0].from[0]: a peer needs");
}
