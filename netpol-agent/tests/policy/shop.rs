//! A small cluster, and one policy in it: what most rows of the tables are about.

use crate::dsl::check;

/// Two dual-stack pods on one node, one elsewhere, and pods in the nodes' networks.
pub(crate) const PODS: &str = "
    ns shop team=shop
    ns ops team=ops stage=prod
    node n1 192.168.0.1
    node n2 192.168.0.2
    pod shop/a 10.0.0.1 fd00::1 app=a node=n1
    pod shop/b 10.0.0.2 fd00::2 app=b tier=back node=n1 port=http:8080 port=dns:53/UDP
    pod ops/c 10.0.1.1 app=a empty= node=n2
    pod ops/h 192.168.0.2 app=a node=n2 host
    pod ops/l 192.168.0.1 app=a node=n1 host
";

/// One policy in namespace shop, one flow, what to expect.
#[track_caller]
pub(crate) fn row(spec: &str, flow: &str, expect: &str) {
    check(&format!("{PODS}\npolicy shop/p {spec}"), flow, expect);
}

/// A policy that isolates shop/b for ingress, with this rule.
#[track_caller]
pub(crate) fn ingress(rule: &str, flow: &str, expect: &str) {
    row(&format!("{{podSelector: {{matchLabels: {{app: b}}}}, ingress: [{rule}]}}"), flow, expect);
}

/// A policy that isolates shop/a for egress, with this rule.
#[track_caller]
pub(crate) fn egress(rule: &str, flow: &str, expect: &str) {
    row(
        &format!("{{podSelector: {{matchLabels: {{app: a}}}}, policyTypes: [Egress], egress: [{rule}]}}"),
        flow,
        expect,
    );
}

/// A peer that ingress to shop/b is admitted from.
#[track_caller]
pub(crate) fn from(peer: &str, flow: &str, expect: &str) {
    ingress(&format!("{{from: [{peer}]}}"), flow, expect);
}
