//! The cluster-wide policies of `policy.networking.k8s.io`, around NetworkPolicies.

use crate::dsl::{check, refused};

const PODS: &str = "
    ns shop team=shop
    ns ops team=ops
    node n1 192.168.0.1 zone=x
    node n2 192.168.0.2 zone=y
    pod shop/a 10.0.0.1 app=a node=n1 port=http:8080
    pod shop/b 10.0.0.2 app=b node=n1 port=http:8080 port=dns:53/UDP
    pod ops/c 10.0.1.1 app=c node=n2
    pod ops/h 192.168.0.2 app=h node=n2 host
";

#[track_caller]
fn with(policies: &str, flow: &str, expect: &str) {
    check(&format!("{PODS}\n{policies}"), flow, expect);
}

/// A ClusterNetworkPolicy of the Admin tier for shop, priority 10.
fn cnp(name: &str, rules: &str) -> String {
    format!(
        "cnp {name} {{tier: Admin, priority: 10, subject: {{namespaces: {{matchLabels: {{team: shop}}}}}}, {rules}}}\n"
    )
}

/// One ingress rule of an Admin policy on shop.
#[track_caller]
fn ingress(rule: &str, flow: &str, expect: &str) {
    with(&cnp("x", &format!("ingress: [{{{rule}}}]")), flow, expect);
}

/// One egress rule of an Admin policy on shop.
#[track_caller]
fn egress(rule: &str, flow: &str, expect: &str) {
    with(&cnp("x", &format!("egress: [{{{rule}}}]")), flow, expect);
}

const ALL: &str = "from: [{namespaces: {}}]";

#[test]
fn no_implicit_isolation() {
    ingress(
        "action: Accept, from: [{pods: {podSelector: {matchLabels: {app: z}}}}]",
        "ops/c -> shop/b:80",
        "allow ingress=default",
    );
    with(&cnp("x", ""), "ops/c -> shop/b:80", "allow ingress=default egress=default");
}

#[test]
fn the_first_match_by_priority_and_order_wins() {
    let rules = format!(
        "ingress: [{{action: Pass, from: [{{namespaces: {{matchLabels: {{team: x}}}}}}]}}, {{action: Deny, {ALL}}}, {{action: Accept, {ALL}}}]"
    );
    with(&cnp("x", &rules), "ops/c -> shop/b:80", "deny defined ingress=Admin ingress.rule=x#1:Deny");
    let two = |first: u32, second: u32| {
        let policy = |name: &str, priority: u32, action: &str| {
            format!(
                "cnp {name} {{tier: Admin, priority: {priority}, subject: {{namespaces: {{}}}}, ingress: [{{action: {action}, {ALL}}}]}}\n"
            )
        };
        policy("accept", first, "Accept") + &policy("deny", second, "Deny")
    };
    with(&two(1, 2), "ops/c -> shop/b:80", "allow defined ingress.rule=accept#0:Accept");
    with(&two(2, 1), "ops/c -> shop/b:80", "deny defined ingress.rule=deny#0:Deny");
    with(&two(1000, 0), "ops/c -> shop/b:80", "deny defined");
    with(&two(5, 5), "ops/c -> shop/b:80", "undefined note=EqualPriority");
}

#[test]
fn equal_priorities_that_agree_are_defined() {
    let both = cnp("x", &format!("ingress: [{{action: Deny, {ALL}}}]"))
        + &cnp("y", &format!("ingress: [{{action: Deny, {ALL}}}, {{action: Accept, {ALL}}}]"));
    with(&both, "ops/c -> shop/b:80", "deny defined ingress.rule=x#0:Deny");
}

#[test]
fn accept_and_deny_are_final_for_their_direction() {
    let deny = "policy shop/p {policyTypes: [Ingress, Egress]}\n";
    let accept_in = cnp("x", &format!("ingress: [{{action: Accept, {ALL}}}]"));
    with(&(accept_in + deny), "ops/c -> shop/b:80", "allow ingress=Admin !ingress.isolating=shop/p");
    // The other side is judged all the same.
    let accept_out = cnp("x", "egress: [{action: Accept, to: [{namespaces: {}}]}]");
    with(
        &(accept_out + deny),
        "shop/a -> shop/b:80",
        "deny egress=Admin egress.allow ingress=NetworkPolicy ingress.deny",
    );
    let deny_in = cnp("x", &format!("ingress: [{{action: Deny, {ALL}}}]"));
    with(&(deny_in + "policy shop/p {ingress: [{}]}"), "ops/c -> shop/b:80", "deny ingress=Admin");
}

#[test]
fn pass_leaves_it_to_the_next_tier() {
    let pass = cnp("x", &format!("ingress: [{{action: Pass, {ALL}}}]"));
    let later = format!(
        "cnp y {{tier: Admin, priority: 20, subject: {{namespaces: {{}}}}, ingress: [{{action: Deny, {ALL}}}]}}\n"
    );
    with(&(pass.clone() + &later), "ops/c -> shop/b:80", "allow ingress=default ingress.passed=x#0");
    with(
        &(pass + &later + "policy shop/p {ingress: []}"),
        "ops/c -> shop/b:80",
        "deny ingress=NetworkPolicy ingress.passed=x#0 ingress.isolating=shop/p",
    );
}

#[test]
fn the_baseline_is_for_pods_that_nothing_isolates() {
    let baseline = format!(
        "cnp base {{tier: Baseline, priority: 0, subject: {{namespaces: {{}}}}, ingress: [{{action: Deny, {ALL}}}]}}\n"
    );
    with(&baseline, "ops/c -> shop/b:80", "deny ingress=Baseline ingress.rule=base#0:Deny");
    with(
        &(baseline.clone() + "policy shop/p {ingress: [{}]}"),
        "ops/c -> shop/b:80",
        "allow ingress=NetworkPolicy",
    );
    with(
        &(baseline.clone() + "policy shop/p {ingress: []}"),
        "ops/c -> shop/b:80",
        "deny ingress=NetworkPolicy",
    );
    // Isolated in the other direction only: the baseline it is.
    with(
        &(baseline.clone() + "policy shop/p {policyTypes: [Egress]}"),
        "ops/c -> shop/b:80",
        "deny ingress=Baseline",
    );
    let admin = cnp("x", &format!("ingress: [{{action: Accept, {ALL}}}]"));
    with(&(admin + &baseline), "ops/c -> shop/b:80", "allow ingress=Admin");
    let pass = format!(
        "cnp first {{tier: Baseline, priority: 0, subject: {{namespaces: {{}}}}, ingress: [{{action: Pass, {ALL}}}]}}\n"
    );
    let last = format!(
        "cnp last {{tier: Baseline, priority: 1, subject: {{namespaces: {{}}}}, ingress: [{{action: Deny, {ALL}}}]}}\n"
    );
    with(&(pass + &last), "ops/c -> shop/b:80", "allow ingress=default ingress.passed=first#0");
}

#[test]
fn subjects() {
    let policy = |subject: &str| {
        format!("cnp x {{tier: Admin, priority: 1, subject: {subject}, ingress: [{{action: Deny, {ALL}}}]}}")
    };
    with(&policy("{namespaces: {matchLabels: {team: ops}}}"), "ops/c -> shop/b:80", "allow");
    let pods =
        "{pods: {namespaceSelector: {matchLabels: {team: shop}}, podSelector: {matchLabels: {app: b}}}}";
    with(&policy(pods), "ops/c -> shop/b:80", "deny");
    with(&policy(pods), "ops/c -> shop/a:80", "allow");
    with(&policy("{namespaces: {}}"), "shop/a -> ops/h:80", "allow undefined ingress=host-network");
    for subject in ["{}", "{namespaces: {}, pods: {namespaceSelector: {}, podSelector: {}}}"] {
        refused(&policy(subject), "spec.subject: needs exactly one of");
    }
}

#[test]
fn peers() {
    let deny = "action: Deny";
    ingress(
        &format!("{deny}, from: [{{namespaces: {{matchLabels: {{team: ops}}}}}}]"),
        "ops/c -> shop/b:80",
        "deny",
    );
    ingress(
        &format!("{deny}, from: [{{namespaces: {{matchLabels: {{team: ops}}}}}}]"),
        "shop/a -> shop/b:80",
        "allow",
    );
    let pods = "from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: c}}}}]";
    ingress(&format!("{deny}, {pods}"), "ops/c -> shop/b:80", "deny");
    ingress(&format!("{deny}, {pods}"), "shop/a -> shop/b:80", "allow");
    // Neither the outside nor host-network pods are pods.
    ingress(&format!("{deny}, {ALL}"), "8.8.8.8 -> shop/b:80", "allow");
    ingress(&format!("{deny}, {ALL}"), "ops/h -> shop/b:80", "allow undefined ingress=default");
    for (peer, reason) in [
        ("{networks: [10.0.0.0/8]}", "from[0]: networks, nodes and domainNames are for egress"),
        ("{nodes: {}}", "from[0]: networks, nodes and domainNames are for egress"),
        ("{namespaces: {}, pods: {podSelector: {}}}", "from[0]: a peer is exactly one thing"),
    ] {
        refused(&cnp("x", &format!("ingress: [{{{deny}, from: [{peer}]}}]")), reason);
    }
    refused(&cnp("x", "ingress: [{action: Deny}]"), "ingress[0].from: must have at least one item");
    refused(&cnp("x", "ingress: [{action: Allow, from: [{namespaces: {}}]}]"), "\"Allow\" is no action");
    refused(
        "cnp x {tier: Admin, priority: 1001, subject: {namespaces: {}}}",
        "spec.priority: 1001 is no priority",
    );
    refused("cnp x {tier: Other, priority: 1, subject: {namespaces: {}}}", "spec.tier: \"Other\" is no tier");
}

#[test]
fn networks_and_nodes() {
    let deny = |peer: &str| format!("action: Deny, to: [{peer}]");
    egress(
        &deny("{networks: [8.8.0.0/16, \"2001:db8::/32\"]}"),
        "shop/a -> 8.8.8.8:80",
        "deny egress.rule=x#0:Deny",
    );
    egress(&deny("{networks: [8.8.0.0/16, \"2001:db8::/32\"]}"), "shop/a -> [2001:db8::1]:80", "deny");
    egress(&deny("{networks: [8.8.0.0/16]}"), "shop/a -> 9.9.9.9:80", "allow");
    // Pods' addresses as well.
    egress(&deny("{networks: [0.0.0.0/0]}"), "shop/a -> ops/c:80", "deny defined");
    egress(
        &deny("{networks: [10.0.1.0/24]}"),
        "shop/a -> ops/c:80 via service",
        "deny undefined note=TranslatedAddress",
    );
    egress(&deny("{nodes: {}}"), "shop/a -> 192.168.0.2:80", "deny defined");
    egress(&deny("{nodes: {matchLabels: {zone: x}}}"), "shop/a -> 192.168.0.2:80", "allow");
    egress(&deny("{nodes: {matchLabels: {zone: 'y'}}}"), "shop/a -> 192.168.0.2:80", "deny");
    egress(&deny("{nodes: {matchLabels: {zone: 'y'}}}"), "shop/a -> ops/h:80", "deny undefined");
    egress(&deny("{nodes: {}}"), "shop/a -> ops/c:80", "allow");
    egress(&deny("{nodes: {}}"), "shop/a -> 8.8.8.8:80", "allow");
}

#[test]
fn domain_names_are_undecidable_where_they_would_matter() {
    let rules = |rest: &str| {
        cnp(
            "x",
            &format!(
                "egress: [{{action: Accept, to: [{{domainNames: [\"*.example.com\"]}}], protocols: [{{tcp: {{destinationPort: {{number: 443}}}}}}]}}{rest}]"
            ),
        )
    };
    let then_deny = ", {action: Deny, to: [{networks: [0.0.0.0/0]}]}";
    with(&rules(then_deny), "shop/a -> 8.8.8.8:443", "deny undefined note=DomainName egress.rule=x#1:Deny");
    with(&rules(then_deny), "shop/a -> 8.8.8.8:80", "deny defined");
    with(&rules(then_deny), "shop/a -> ops/c:443", "deny defined");
    with(&rules(""), "shop/a -> 8.8.8.8:443", "allow defined egress=default");
    with(&(rules("") + "policy shop/p {policyTypes: [Egress]}"), "shop/a -> 8.8.8.8:443", "deny undefined");
    refused(
        &cnp("x", "egress: [{action: Deny, to: [{domainNames: [example.com]}]}]"),
        "domain names are for accepting rules",
    );
    refused(&cnp("x", "egress: [{action: Accept, to: [{domainNames: [\"a.*.com\"]}]}]"), "is no domain name");
    refused(&cnp("x", "egress: [{action: Accept, to: [{domainNames: [\"*\"]}]}]"), "is no domain name");
}

#[test]
fn unknown_peers_fail_closed() {
    let unknown = "from: [{galaxies: {}}]";
    ingress(
        &format!("action: Accept, {unknown}"),
        "ops/c -> shop/b:80",
        "allow ingress=default note=UnknownPeer",
    );
    ingress(
        &format!("action: Deny, {unknown}"),
        "ops/c -> shop/b:80",
        "deny defined ingress.rule=x#0:Deny note=UnknownPeer",
    );
    ingress(&format!("action: Pass, {unknown}"), "8.8.8.8 -> shop/b:80", "deny ingress.rule=x#0:Deny");
    ingress("action: Accept, from: [{}, {namespaces: {}}]", "ops/c -> shop/b:80", "allow ingress=default");
    // All traffic, whatever ports the rule names.
    ingress(
        "action: Deny, from: [{}], protocols: [{tcp: {destinationPort: {number: 1}}}]",
        "ops/c -> shop/b:80",
        "deny",
    );
}

#[test]
fn protocols() {
    let on = |protocols: &str| format!("action: Deny, {ALL}, protocols: [{protocols}]");
    ingress(&on("{tcp: {destinationPort: {number: 80}}}"), "ops/c -> shop/b:80", "deny");
    ingress(&on("{tcp: {destinationPort: {number: 80}}}"), "ops/c -> shop/b:80/UDP", "allow");
    ingress(&on("{tcp: {destinationPort: {number: 80}}}"), "ops/c -> shop/b:81", "allow");
    ingress(&on("{udp: {destinationPort: {range: {start: 80, end: 90}}}}"), "ops/c -> shop/b:90/UDP", "deny");
    ingress(
        &on("{udp: {destinationPort: {range: {start: 80, end: 90}}}}"),
        "ops/c -> shop/b:91/UDP",
        "allow",
    );
    ingress(&on("{sctp: {destinationPort: {number: 9}}}"), "ops/c -> shop/b:9/SCTP", "deny");
    ingress(&on("{destinationNamedPort: dns}"), "ops/c -> shop/b:53/UDP", "deny");
    ingress(&on("{destinationNamedPort: dns}"), "ops/c -> shop/b:53", "allow");
    // Without protocols: all of them, those without ports too.
    ingress(&format!("action: Deny, {ALL}"), "ops/c -> shop/b:0/ICMP", "deny defined");
    for (protocol, reason) in [
        ("{}", "needs exactly one of tcp, udp, sctp"),
        (
            "{tcp: {destinationPort: {number: 1}}, udp: {destinationPort: {number: 1}}}",
            "needs exactly one of tcp",
        ),
        ("{tcp: {}}", "tcp.destinationPort: is needed"),
        ("{tcp: {destinationPort: {}}}", "needs exactly one of `number` and `range`"),
        ("{tcp: {destinationPort: {range: {start: 5, end: 5}}}}", "range.end: 5 must be greater"),
    ] {
        refused(&cnp("x", &format!("ingress: [{{{}}}]", on(protocol))), reason);
    }
    let named =
        "egress: [{action: Deny, to: [{networks: [0.0.0.0/0]}], protocols: [{destinationNamedPort: http}]}]";
    refused(&cnp("x", named), "a named port goes with pods only");
}

#[test]
fn a_pods_own_traffic_is_exempt_but_not_its_hairpin() {
    let deny = cnp("x", &format!("ingress: [{{action: Deny, {ALL}}}]"));
    with(&deny, "shop/a -> shop/a:80", "allow defined ingress=self");
    with(&deny, "shop/a -> shop/a:80 via service", "deny undefined note=Hairpin");
}

#[test]
fn admin_and_baseline_policies_of_the_first_version() {
    let anp = |rules: &str| format!("anp x {{priority: 5, subject: {{namespaces: {{}}}}, {rules}}}\n");
    with(
        &anp(&format!("ingress: [{{action: Deny, {ALL}}}]")),
        "ops/c -> shop/b:80",
        "deny ingress=Admin ingress.rule=x#0:Deny",
    );
    with(
        &anp(&format!("ingress: [{{action: Allow, {ALL}}}]")),
        "ops/c -> shop/b:80",
        "allow ingress.rule=x#0:Allow",
    );
    let ports = |port: &str| anp(&format!("ingress: [{{action: Deny, {ALL}, ports: [{port}]}}]"));
    with(&ports("{portNumber: {protocol: TCP, port: 80}}"), "ops/c -> shop/b:80", "deny");
    with(&ports("{portNumber: {port: 80}}"), "ops/c -> shop/b:81", "allow");
    with(&ports("{portRange: {protocol: UDP, start: 1, end: 9}}"), "ops/c -> shop/b:9/UDP", "deny");
    with(&ports("{namedPort: http}"), "ops/c -> shop/b:8080", "deny");
    refused(&ports("{}"), "needs exactly one of portNumber");
    let baseline = format!("banp {{subject: {{namespaces: {{}}}}, ingress: [{{action: Deny, {ALL}}}]}}\n");
    with(&baseline, "ops/c -> shop/b:80", "deny ingress=Baseline ingress.rule=default#0:Deny");
    let pass = anp(&format!("ingress: [{{action: Pass, {ALL}}}]"));
    with(&(pass + &baseline), "ops/c -> shop/b:80", "deny ingress=Baseline ingress.passed=x#0");
    refused(
        &format!("banp {{subject: {{namespaces: {{}}}}, ingress: [{{action: Pass, {ALL}}}]}}"),
        "\"Pass\" is no baseline action",
    );
}

#[test]
fn older_nested_peers() {
    let anp = |peer: &str| {
        format!(
            "anp x {{priority: 5, subject: {{namespaces: {{}}}}, ingress: [{{action: Deny, from: [{peer}]}}]}}\n"
        )
    };
    with(
        &anp("{namespaces: {namespaceSelector: {matchLabels: {team: ops}}}}"),
        "ops/c -> shop/b:80",
        "deny defined !note=UnknownPeer",
    );
    with(
        &anp("{namespaces: {namespaceSelector: {matchLabels: {team: ops}}}}"),
        "shop/a -> shop/b:80",
        "allow",
    );
    let pods = "{pods: {namespaces: {namespaceSelector: {}}, podSelector: {matchLabels: {app: c}}}}";
    with(&anp(pods), "ops/c -> shop/b:80", "deny");
    with(&anp(pods), "shop/a -> shop/b:80", "allow");
    with(&anp("{namespaces: {sameLabels: [team]}}"), "ops/c -> shop/b:80", "deny note=UnknownPeer");
}

#[test]
fn a_pods_own_node_reaches_it_whatever_the_tier() {
    let deny = cnp("x", &format!("ingress: [{{action: Deny, {ALL}}}]"));
    with(&deny, "192.168.0.1 -> shop/b:80", "allow defined ingress=local-node");
}
