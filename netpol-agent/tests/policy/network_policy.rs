//! `networking.k8s.io/v1` NetworkPolicy, and what surrounds it.

use crate::{
    dsl::{check, refused},
    shop::{PODS, egress, from, ingress, row},
};

/// A port that ingress to shop/b is admitted on.
#[track_caller]
fn on_port(port: &str, flow: &str, expect: &str) {
    ingress(&format!("{{ports: [{port}]}}"), flow, expect);
}

#[test]
fn without_policies_everything_is_allowed() {
    check(PODS, "shop/a -> shop/b:80", "allow defined egress=default ingress=default egress.subject=shop/a");
    check(PODS, "1.1.1.1 -> shop/b:80", "allow defined egress=no-subject ingress=default");
    check(PODS, "shop/a -> 1.1.1.1:80", "allow defined egress=default ingress=no-subject");
    check(PODS, "1.1.1.1 -> 8.8.8.8:80", "allow defined egress=no-subject ingress=no-subject");
    check(PODS, "shop/a -> shop/b:0/ICMP", "allow defined");
}

#[test]
fn isolation_is_per_direction_and_by_selection() {
    let deny_in = "{podSelector: {matchLabels: {app: b}}, ingress: []}";
    row(deny_in, "shop/a -> shop/b:80", "deny ingress=NetworkPolicy ingress.isolating=shop/p egress=default");
    row(deny_in, "shop/b -> shop/a:80", "allow ingress=default egress=default");
    row(deny_in, "shop/b -> 8.8.8.8:53/UDP", "allow egress=default");
    let deny_out = "{podSelector: {matchLabels: {app: a}}, policyTypes: [Egress]}";
    row(deny_out, "shop/a -> shop/b:80", "deny egress=NetworkPolicy egress.isolating=shop/p ingress=default");
    // Same labels, another namespace.
    row(deny_out, "ops/c -> shop/b:80", "allow egress=default");
    row(deny_out, "ops/c -> shop/a:80", "allow ingress=default");
}

#[test]
fn both_sides_must_allow() {
    let allow_in = "policy shop/in {podSelector: {matchLabels: {app: b}}, ingress: [{}]}";
    let allow_out =
        "policy shop/out {podSelector: {matchLabels: {app: a}}, policyTypes: [Egress], egress: [{}]}";
    let deny_out = "policy shop/out {podSelector: {matchLabels: {app: a}}, policyTypes: [Egress]}";
    let both = format!("{PODS}\n{allow_in}\n{allow_out}");
    check(&both, "shop/a -> shop/b:80", "allow egress.by=shop/out#0 ingress.by=shop/in#0");
    let one = format!("{PODS}\n{allow_in}\n{deny_out}");
    check(&one, "shop/a -> shop/b:80", "deny egress.deny ingress.allow");
}

#[test]
fn policies_and_rules_are_a_union() {
    let cluster = format!(
        "{PODS}
        policy shop/none {{podSelector: {{}}}}
        policy shop/first {{podSelector: {{}}, ingress: [{{ports: [{{port: 1}}]}}, {{ports: [{{port: 2}}]}}]}}
        policy shop/second {{podSelector: {{}}, ingress: [{{ports: [{{port: 2}}]}}]}}
        policy shop/other {{podSelector: {{matchLabels: {{app: z}}}}, ingress: [{{}}]}}
        policy shop/way {{podSelector: {{}}, policyTypes: [Egress], egress: [{{}}]}}"
    );
    let isolated = "ingress.isolating=shop/none ingress.isolating=shop/first ingress.isolating=shop/second";
    check(
        &cluster,
        "shop/a -> shop/b:1",
        &format!("allow {isolated} !ingress.isolating=shop/other ingress.by=shop/first#0"),
    );
    check(
        &cluster,
        "shop/a -> shop/b:2",
        "allow ingress.by=shop/first#1 ingress.by=shop/second#0 !ingress.by=shop/first#0",
    );
    check(&cluster, "shop/a -> shop/b:3", &format!("deny {isolated} !ingress.isolating=shop/way"));
}

#[test]
fn pod_selector_missing_null_or_empty_is_every_pod_of_the_namespace() {
    for spec in ["{}", "{podSelector: }", "{podSelector: {}}", "{podSelector: {matchLabels: {}}}"] {
        row(spec, "ops/c -> shop/a:80", "deny");
        row(spec, "ops/c -> shop/b:80", "deny");
        row(spec, "shop/a -> ops/c:80", "allow ingress=default");
    }
    // Not even a spec.
    check(&format!("{PODS}\npolicy shop/p"), "ops/c -> shop/a:80", "deny");
}

#[test]
fn policy_types_default_by_what_is_there() {
    let (inward, outward) = ("ops/c -> shop/a:80", "shop/a -> ops/c:80");
    for types in ["", "policyTypes: , ", "policyTypes: [], "] {
        let (i, e) = ("ingress=NetworkPolicy", "egress=NetworkPolicy");
        row(&format!("{{{types}ingress: [{{}}]}}"), inward, &format!("allow {i}"));
        row(&format!("{{{types}ingress: [{{}}]}}"), outward, "allow egress=default");
        row(&format!("{{{types}egress: [{{}}]}}"), inward, &format!("deny {i}"));
        row(&format!("{{{types}egress: [{{}}]}}"), outward, &format!("allow {e}"));
        // An empty list of egress rules does not make it an egress policy.
        row(&format!("{{{types}egress: []}}"), outward, "allow egress=default");
        row(&format!("{{{types}egress: []}}"), inward, "deny");
    }
}

#[test]
fn sections_that_are_not_typed_are_ignored() {
    let only_in = "{policyTypes: [Ingress], ingress: [{}], egress: [{ports: [{port: 1}]}]}";
    row(only_in, "shop/a -> ops/c:80", "allow egress=default");
    let only_out = "{policyTypes: [Egress], ingress: [{ports: [{port: 1}]}], egress: [{}]}";
    row(only_out, "ops/c -> shop/a:80", "allow ingress=default");
    row("{policyTypes: [Egress, Egress]}", "shop/a -> ops/c:80", "deny");
    row("{policyTypes: [Ingress, Egress]}", "shop/a -> shop/b:80", "deny egress.deny ingress.deny");
}

/// Such values are in objects that an older API server took. They are equal to no label.
#[test]
fn selector_values_that_no_label_has() {
    let subject = |operator: &str, values: &str| {
        format!(
            "{{podSelector: {{matchExpressions: [{{key: app, operator: {operator}, values: [{values}]}}]}}, ingress: []}}"
        )
    };
    row(&subject("In", "a b"), "ops/c -> shop/a:80", "allow defined ingress=default");
    row(&subject("In", "a b, a"), "ops/c -> shop/a:80", "deny defined");
    row(&subject("NotIn", "-b-"), "ops/c -> shop/a:80", "deny defined");
    row(
        "{podSelector: {matchLabels: {app: a b}}, ingress: []}",
        "ops/c -> shop/a:80",
        "allow defined ingress=default",
    );
}

#[test]
fn policy_types_that_the_api_refuses() {
    refused("policy shop/p {policyTypes: [Ingress, Egress, Egress]}", "spec.policyTypes: at most two");
    refused("policy shop/p {policyTypes: [ingress]}", "spec.policyTypes[0]: \"ingress\" is no policy type");
}

#[test]
fn no_rules_deny_and_an_empty_rule_allows() {
    for rules in ["", "ingress: ,", "ingress: [],"] {
        row(&format!("{{{rules} podSelector: {{}}}}"), "ops/c -> shop/a:80", "deny");
    }
    row("{ingress: [{}]}", "ops/c -> shop/a:80", "allow ingress.by=shop/p#0");
    row("{ingress: [{}]}", "8.8.8.8 -> shop/a:80", "allow");
    row("{ingress: [{}]}", "192.168.0.2 -> shop/a:9/SCTP", "allow");
}

#[test]
fn peers_missing_null_or_empty_are_everyone() {
    for rule in ["{}", "{from: }", "{from: []}"] {
        for source in ["shop/a", "ops/c", "8.8.8.8", "192.168.0.2", "2001:db8::1"] {
            ingress(rule, &format!("{source} -> shop/b:80"), "allow");
        }
    }
    for rule in ["{}", "{to: }", "{to: []}"] {
        egress(rule, "shop/a -> 8.8.8.8:53/UDP", "allow");
        egress(rule, "shop/a -> shop/b:80", "allow");
        egress(rule, "shop/a -> 192.168.0.2:10250", "allow");
    }
}

#[test]
fn ports_missing_null_or_empty_are_all() {
    for rule in ["{}", "{ports: }", "{ports: []}"] {
        for port in ["1", "65535", "53/UDP", "9/SCTP"] {
            ingress(rule, &format!("shop/a -> shop/b:{port}"), "allow defined");
        }
    }
}

#[test]
fn a_port_item_without_a_number_is_its_whole_protocol() {
    on_port("{}", "shop/a -> shop/b:4711", "allow");
    on_port("{}", "shop/a -> shop/b:4711/UDP", "deny");
    on_port("{protocol: UDP}", "shop/a -> shop/b:4711/UDP", "allow");
    on_port("{protocol: UDP}", "shop/a -> shop/b:4711", "deny");
    on_port("{protocol: SCTP}", "shop/a -> shop/b:4711/SCTP", "allow");
    on_port("{protocol: SCTP}", "shop/a -> shop/b:4711", "deny");
    on_port("{protocol: }", "shop/a -> shop/b:4711", "allow");
}

#[test]
fn ports_by_number_and_range() {
    on_port("{port: 80}", "shop/a -> shop/b:80", "allow");
    on_port("{port: 80}", "shop/a -> shop/b:81", "deny");
    on_port("{port: 80}", "shop/a -> shop/b:80/UDP", "deny");
    for (port, expect) in [(79, "deny"), (80, "allow"), (85, "allow"), (90, "allow"), (91, "deny")] {
        on_port("{port: 80, endPort: 90}", &format!("shop/a -> shop/b:{port}"), expect);
        on_port("{port: 80, endPort: 90, protocol: UDP}", &format!("shop/a -> shop/b:{port}/UDP"), expect);
    }
    on_port("{port: 80, endPort: 80}", "shop/a -> shop/b:80", "allow");
    on_port("{port: 65535, endPort: 65535}", "shop/a -> shop/b:65535", "allow");
    // Two items that touch, and one inside the other.
    on_port("{port: 80, endPort: 90}, {port: 91, endPort: 95}, {port: 85}", "shop/a -> shop/b:91", "allow");
}

#[test]
fn ports_by_name_are_the_destinations() {
    on_port("{port: http}", "shop/a -> shop/b:8080", "allow");
    on_port("{port: http}", "shop/a -> shop/b:80", "deny");
    on_port("{port: http, protocol: UDP}", "shop/a -> shop/b:8080/UDP", "deny");
    on_port("{port: dns, protocol: UDP}", "shop/a -> shop/b:53/UDP", "allow");
    on_port("{port: dns}", "shop/a -> shop/b:53", "deny");
    egress("{ports: [{port: http}]}", "shop/a -> shop/b:8080", "allow");
    egress("{ports: [{port: http}]}", "shop/a -> shop/b:80", "deny");
    // Nobody outside declares ports, nor does a node.
    egress("{ports: [{port: http}]}", "shop/a -> 8.8.8.8:8080", "deny");
    egress("{ports: [{port: http}]}", "shop/a -> 192.168.0.2:8080", "deny");
    let twice = "pod shop/t 10.0.0.9 app=b port=http:1 port=http:2 port=other:3";
    let cluster = format!("{PODS}\n{twice}\npolicy shop/p {{ingress: [{{ports: [{{port: http}}]}}]}}");
    check(&cluster, "shop/a -> shop/t:1", "allow");
    check(&cluster, "shop/a -> shop/t:2", "allow");
    check(&cluster, "shop/a -> shop/t:3", "deny");
}

#[test]
fn ports_that_the_api_refuses() {
    let refused = |port: &str, reason: &str| {
        refused(
            &format!("policy shop/p {{ingress: [{{ports: [{port}]}}]}}"),
            &format!("spec.ingress[0].ports[0].{reason}"),
        );
    };
    refused("{port: 0}", "port: 0 is no port");
    refused("{port: 65536}", "port: 65536 is no port");
    refused("{port: \"80\"}", "port: \"80\" is no port name");
    refused("{port: Http}", "port: \"Http\" is no port name");
    refused("{port: true}", "port: must be a port number");
    refused("{protocol: ICMP}", "protocol: \"ICMP\" is no protocol");
    refused("{protocol: tcp}", "protocol: \"tcp\" is no protocol");
    refused("{endPort: 80}", "endPort: needs `port`");
    refused("{port: http, endPort: 80}", "endPort: goes with a numeric");
    refused("{port: 80, endPort: 79}", "endPort: 79 is less than");
    refused("{port: 80, endport: 90}", "endport: unknown field");
}

#[test]
fn a_rule_is_any_peer_and_any_port() {
    let rule = "{from: [{podSelector: {matchLabels: {app: a}}}, {ipBlock: {cidr: 8.8.8.0/24}}], ports: [{port: 1}, {port: 2}]}";
    for (flow, expect) in [
        ("shop/a -> shop/b:1", "allow"),
        ("shop/a -> shop/b:2", "allow"),
        ("8.8.8.8 -> shop/b:2", "allow"),
        ("shop/a -> shop/b:3", "deny"),
        ("9.9.9.9 -> shop/b:1", "deny"),
    ] {
        ingress(rule, flow, expect);
    }
}

#[test]
fn pod_selector_alone_is_of_the_policys_own_namespace() {
    from("{podSelector: {matchLabels: {app: a}}}", "shop/a -> shop/b:80", "allow");
    from("{podSelector: {matchLabels: {app: a}}}", "ops/c -> shop/b:80", "deny");
    from("{podSelector: {}}", "shop/a -> shop/b:80", "allow");
    from("{podSelector: {}}", "ops/c -> shop/b:80", "deny");
    from("{podSelector: {}}", "8.8.8.8 -> shop/b:80", "deny");
    from("{podSelector: {}, namespaceSelector: }", "ops/c -> shop/b:80", "deny");
}

#[test]
fn namespace_selector_alone_is_all_pods_of_those_namespaces() {
    from("{namespaceSelector: {matchLabels: {team: ops}}}", "ops/c -> shop/b:80", "allow");
    from("{namespaceSelector: {matchLabels: {team: ops}}}", "shop/a -> shop/b:80", "deny");
    from("{namespaceSelector: {}}", "ops/c -> shop/b:80", "allow");
    from("{namespaceSelector: {}}", "shop/a -> shop/b:80", "allow");
    from("{namespaceSelector: {}}", "8.8.8.8 -> shop/b:80", "deny");
    from("{namespaceSelector: {}}", "192.168.0.2 -> shop/b:80", "deny");
    from("{namespaceSelector: {}, podSelector: }", "ops/c -> shop/b:80", "allow");
}

#[test]
fn both_selectors_in_one_item_are_and_in_two_or() {
    let and = "{namespaceSelector: {matchLabels: {team: ops}}, podSelector: {matchLabels: {app: a}}}";
    let or = "{namespaceSelector: {matchLabels: {team: ops}}}, {podSelector: {matchLabels: {app: a}}}";
    let cluster = |from: &str| {
        format!(
            "{PODS}\npod ops/d 10.0.1.2 app=d\npolicy shop/p {{podSelector: {{matchLabels: {{app: b}}}}, ingress: [{{from: [{from}]}}]}}"
        )
    };
    for (flow, with_and, with_or) in [
        ("ops/c -> shop/b:80", "allow", "allow"),
        ("ops/d -> shop/b:80", "deny", "allow"),
        ("shop/a -> shop/b:80", "deny", "allow"),
        ("8.8.8.8 -> shop/b:80", "deny", "deny"),
    ] {
        check(&cluster(and), flow, with_and);
        check(&cluster(or), flow, with_or);
    }
}

#[test]
fn peers_that_the_api_refuses() {
    let refused = |peer: &str, reason: &str| {
        refused(
            &format!("policy shop/p {{ingress: [{{from: [{peer}]}}]}}"),
            &format!("spec.ingress[0].from[0]{reason}"),
        );
        refused(
            &format!("policy shop/p {{egress: [{{to: [{peer}]}}]}}"),
            &format!("spec.egress[0].to[0]{reason}"),
        );
    };
    refused("{}", ": a peer needs");
    refused("{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}", ".ipBlock: must stand alone");
    refused("{ipBlock: {cidr: 10.0.0.0/8}, namespaceSelector: {}}", ".ipBlock: must stand alone");
    refused("{podselector: {}}", ".podselector: unknown field");
    refused("{ipBlock: {}}", ".ipBlock: missing field `cidr`");
    refused("{ipBlock: {cidr: 10.0.0.1}}", ".ipBlock.cidr: \"10.0.0.1\" is no CIDR");
    refused("{ipBlock: {cidr: 10.0.0.0/33}}", ".ipBlock.cidr: \"10.0.0.0/33\" is no CIDR");
    refused(
        "{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/24]}}",
        ".ipBlock.except[0]: \"11.0.0.0/24\" must be a smaller",
    );
    refused(
        "{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}",
        ".ipBlock.except[0]: \"10.0.0.0/8\" must be a smaller",
    );
    refused(
        "{ipBlock: {cidr: 10.0.0.0/8, except: [\"fd00::/8\"]}}",
        ".ipBlock.except[0]: \"fd00::/8\" must be a smaller",
    );
}

#[test]
fn selectors_and_their_operators() {
    let rows: &[(&str, &str)] = &[
        ("matchLabels: {app: a}", "allow"),
        ("matchLabels: {app: a, team: x}", "deny"),
        ("matchLabels: {app: a}, matchExpressions: [{key: app, operator: NotIn, values: [a]}]", "deny"),
        ("matchExpressions: [{key: app, operator: In, values: [z, a]}]", "allow"),
        ("matchExpressions: [{key: app, operator: In, values: [z]}]", "deny"),
        ("matchExpressions: [{key: absent, operator: In, values: [a]}]", "deny"),
        ("matchExpressions: [{key: app, operator: NotIn, values: [z]}]", "allow"),
        ("matchExpressions: [{key: app, operator: NotIn, values: [a]}]", "deny"),
        ("matchExpressions: [{key: absent, operator: NotIn, values: [a]}]", "allow"),
        ("matchExpressions: [{key: app, operator: Exists}]", "allow"),
        ("matchExpressions: [{key: absent, operator: Exists}]", "deny"),
        ("matchExpressions: [{key: app, operator: DoesNotExist}]", "deny"),
        ("matchExpressions: [{key: absent, operator: DoesNotExist}]", "allow"),
        ("matchExpressions: [{key: app, operator: Exists}, {key: app, operator: In, values: [z]}]", "deny"),
        // An empty value needs the key all the same.
        ("matchLabels: {empty: \"\"}", "allow"),
        ("matchLabels: {absent: \"\"}", "deny"),
        ("matchLabels: {empty: }", "allow"),
        ("matchExpressions: [{key: absent, operator: In, values: [\"\"]}]", "deny"),
        ("matchExpressions: [{key: empty, operator: NotIn, values: [\"\"]}]", "deny"),
        ("matchLabels: , matchExpressions: ", "allow"),
    ];
    for (selector, expect) in rows {
        from(
            &format!("{{namespaceSelector: {{}}, podSelector: {{{selector}}}}}"),
            "ops/c -> shop/b:80",
            expect,
        );
    }
    from(
        "{namespaceSelector: {matchExpressions: [{key: stage, operator: In, values: [prod]}]}}",
        "ops/c -> shop/b:80",
        "allow",
    );
    from(
        "{namespaceSelector: {matchExpressions: [{key: stage, operator: DoesNotExist}]}}",
        "ops/c -> shop/b:80",
        "deny",
    );
}

#[test]
fn selectors_that_the_api_refuses() {
    let refused = |expression: &str, reason: &str| {
        let spec = format!("{{podSelector: {{matchExpressions: [{expression}]}}}}");
        refused(&format!("policy shop/p {spec}"), &format!("spec.podSelector.matchExpressions[0].{reason}"));
    };
    refused("{key: a, operator: In}", "values: In needs at least one value");
    refused("{key: a, operator: NotIn, values: []}", "values: NotIn needs at least one value");
    refused("{key: a, operator: Exists, values: [x]}", "values: Exists takes no values");
    refused("{key: a, operator: DoesNotExist, values: [x]}", "values: DoesNotExist takes no values");
    refused("{key: a, operator: Equals, values: [x]}", "operator: \"Equals\" is no operator");
    refused("{key: \"a b\", operator: Exists}", "key: \"a b\" is no label key");
    refused("{key: a, operator: In, values: [1]}", "values[0]: must be a string: put 1 in quotes");
}

#[test]
fn every_namespace_has_its_name_as_a_label() {
    let by_name = "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ops}}}";
    from(by_name, "ops/c -> shop/b:80", "allow");
    from(by_name, "shop/a -> shop/b:80", "deny");
    // No Namespace object, and one that claims another's name.
    let cluster = format!(
        "ns liar kubernetes.io/metadata.name=ops
        pod liar/x 10.9.0.1
        pod ops/c 10.0.1.1
        pod shop/b 10.0.0.2
        policy shop/p {{ingress: [{{from: [{by_name}]}}]}}"
    );
    check(&cluster, "ops/c -> shop/b:80", "allow");
    check(&cluster, "liar/x -> shop/b:80", "deny");
}

#[test]
fn an_sctp_policy_isolates_for_all_protocols() {
    on_port("{protocol: SCTP, port: 9}", "shop/a -> shop/b:9", "deny ingress.isolating=shop/p");
    on_port("{protocol: SCTP, port: 9}", "shop/a -> shop/b:9/UDP", "deny");
    on_port("{protocol: SCTP, port: 9}", "shop/a -> shop/b:9/SCTP", "allow");
}

#[test]
fn other_protocols_are_undefined_where_a_policy_isolates() {
    ingress("{}", "shop/a -> shop/b:0/ICMP", "allow undefined note=Protocol");
    on_port("{}", "shop/a -> shop/b:0/ICMP", "deny undefined note=Protocol");
    on_port("{}", "shop/a -> shop/b:0/ICMPv6", "deny undefined note=Protocol");
    on_port("{}", "shop/b -> shop/a:0/ICMP", "allow defined");
}
