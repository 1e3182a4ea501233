//! Addresses, nodes and the lives of pods, as NetworkPolicies see them.

use crate::{
    dsl::{check, refused},
    shop::{PODS, egress, from, ingress, row},
};

#[test]
fn ip_blocks_and_their_holes() {
    let block = "{ipBlock: {cidr: 8.0.0.0/8, except: [8.8.0.0/16]}}";
    from(block, "8.1.1.1 -> shop/b:80", "allow defined !note=BlockMatchesPod");
    from(block, "8.8.1.1 -> shop/b:80", "deny");
    from(block, "9.1.1.1 -> shop/b:80", "deny");
    // Another peer re-allows the hole, or a part of it.
    from(&format!("{block}, {{ipBlock: {{cidr: 8.8.8.8/32}}}}"), "8.8.8.8 -> shop/b:80", "allow");
    from(&format!("{block}, {{ipBlock: {{cidr: 8.8.8.8/32}}}}"), "8.8.8.9 -> shop/b:80", "deny");
    // And another policy.
    let cluster = format!(
        "{PODS}
        policy shop/p {{ingress: [{{from: [{block}]}}]}}
        policy shop/q {{ingress: [{{from: [{{ipBlock: {{cidr: 8.8.8.0/24}}}}]}}]}}"
    );
    check(&cluster, "8.8.8.8 -> shop/b:80", "allow ingress.by=shop/q#0 !ingress.by=shop/p#0");
}

#[test]
fn old_forms_of_ip_blocks() {
    from("{ipBlock: {cidr: 8.1.2.3/8}}", "8.200.0.1 -> shop/b:80", "allow");
    from("{ipBlock: {cidr: 008.001.000.000/16}}", "8.1.9.9 -> shop/b:80", "allow");
    from("{ipBlock: {cidr: \"::ffff:8.1.0.0/112\"}}", "8.1.9.9 -> shop/b:80", "allow");
    from("{ipBlock: {cidr: 8.1.0.0/16}}", "[::ffff:8.1.9.9] -> shop/b:80", "allow");
}

#[test]
fn families_never_cross() {
    from("{ipBlock: {cidr: 0.0.0.0/0}}", "8.8.8.8 -> shop/b:80", "allow");
    from("{ipBlock: {cidr: 0.0.0.0/0}}", "2001:db8::1 -> shop/b:80", "deny");
    from("{ipBlock: {cidr: \"::/0\"}}", "2001:db8::1 -> shop/b:80", "allow");
    from("{ipBlock: {cidr: \"::/0\"}}", "8.8.8.8 -> shop/b:80", "deny");
}

#[test]
fn ip_blocks_match_pods_and_nodes() {
    from("{ipBlock: {cidr: 10.0.1.0/24}}", "ops/c -> shop/b:80", "allow defined note=BlockMatchesPod");
    from(
        "{ipBlock: {cidr: 10.0.1.0/24}}, {namespaceSelector: {}}",
        "ops/c -> shop/b:80",
        "allow !note=BlockMatchesPod",
    );
    from("{ipBlock: {cidr: 192.168.0.0/24}}", "192.168.0.2 -> shop/b:80", "allow");
    // Dual-stack: by any of its addresses, or by the one that is seen.
    from("{ipBlock: {cidr: \"fd00::1/128\"}}", "shop/a -> shop/b:80", "allow");
    from(
        "{ipBlock: {cidr: \"fd00::1/128\"}}",
        "fd00::1 -> shop/b:80",
        "allow ingress.subject=shop/b egress.subject=shop/a",
    );
    from("{ipBlock: {cidr: \"fd00::1/128\"}}", "10.0.0.1 -> shop/b:80", "deny");
}

#[test]
fn what_a_service_translated_may_be_undefined() {
    let to_b = "{to: [{ipBlock: {cidr: 10.0.0.0/24}}]}";
    egress(to_b, "shop/a -> shop/b:80", "allow defined");
    egress(to_b, "shop/a -> shop/b:80 via service", "allow undefined note=TranslatedAddress");
    egress("{to: [{podSelector: {}}]}", "shop/a -> shop/b:80 via service", "allow defined");
    egress(
        "{to: [{podSelector: {}}, {ipBlock: {cidr: 10.0.0.0/24}}]}",
        "shop/a -> shop/b:80 via service",
        "allow defined",
    );
    egress(
        "{to: [{podSelector: {matchLabels: {app: z}}}]}",
        "shop/a -> shop/b:80 via service",
        "deny defined",
    );
    // An address range that has the Service's own address, seen by those who judge before translation.
    let cluster = |block: &str| {
        format!(
            "{PODS}
            service shop/b 10.96.0.10 app=b
            policy shop/p {{podSelector: {{matchLabels: {{app: a}}}}, egress: [{{to: [{{ipBlock: {{cidr: {block}}}}}]}}]}}"
        )
    };
    check(
        &cluster("10.96.0.0/12"),
        "shop/a -> shop/b:80 via service",
        "deny undefined note=TranslatedAddress",
    );
    check(&cluster("10.96.0.0/12"), "shop/a -> shop/b:80", "deny defined");
    check(&cluster("10.97.0.0/16"), "shop/a -> shop/b:80 via service", "deny defined");
    // The address that was used counts, which may be a node's.
    check(&cluster("10.96.0.0/12"), "shop/a -> shop/b:80 via 10.96.0.10", "deny undefined");
    check(&cluster("10.96.0.0/12"), "shop/a -> shop/b:80 via 192.168.0.2", "deny defined");
    check(&cluster("192.168.0.0/24"), "shop/a -> shop/b:80 via 192.168.0.2", "deny undefined");
    check(&cluster("192.168.0.0/24"), "shop/a -> shop/b:80 via service", "deny defined");
    // The client behind a load balancer.
    from("{ipBlock: {cidr: 8.0.0.0/8}}", "8.8.8.8 -> shop/b:80 via service", "allow undefined");
    from("{ipBlock: {cidr: 8.0.0.0/8}}", "192.168.0.2 -> shop/b:80 via service", "deny undefined");
    from("{podSelector: {}}", "192.168.0.2 -> shop/b:80 via service", "deny defined");
}

/// A node's port, or a load balancer's address: a node may have taken the source's place.
#[test]
fn a_node_may_stand_for_the_source() {
    let cluster = |peer: &str| {
        format!(
            "{PODS}
            service ops/c 10.96.0.10 app=a
            policy ops/p {{podSelector: {{matchLabels: {{app: a}}}}, ingress: [{{from: [{peer}]}}]}}"
        )
    };
    let (shop, nobody) =
        ("{namespaceSelector: {matchLabels: {team: shop}}}", "{podSelector: {matchLabels: {app: z}}}");
    for (peer, via, expected) in [
        (shop, "10.96.0.10", "allow defined"),
        // Of another node, of the source's own for a load balancer's address, and of the destination's.
        (shop, "192.168.0.1", "allow undefined note=TranslatedSource"),
        (shop, "203.0.113.7", "allow undefined note=TranslatedSource"),
        (shop, "192.168.0.2", "allow defined"),
        (nobody, "10.96.0.10", "deny defined"),
        (nobody, "192.168.0.1", "deny defined"),
        (nobody, "203.0.113.7", "deny defined"),
        (nobody, "192.168.0.2", "deny undefined note=TranslatedSource"),
        ("{ipBlock: {cidr: 192.168.0.1/32}}", "10.96.0.10", "deny defined"),
        ("{ipBlock: {cidr: 192.168.0.1/32}}", "203.0.113.7", "deny undefined note=TranslatedSource"),
    ] {
        check(&cluster(peer), &format!("shop/a -> ops/c:80 via {via}"), expected);
    }
    // What the source's own policies deny, no node undoes.
    let shut = cluster(nobody) + "\npolicy shop/q {policyTypes: [Egress]}";
    check(&shut, "shop/a -> ops/c:80 via 192.168.0.2", "deny defined");
}

#[test]
fn nodes() {
    // shop/b's own node may always reach it: the kubelet probes.
    ingress(
        "{ports: [{port: 1}]}",
        "192.168.0.1 -> shop/b:80",
        "allow defined ingress=local-node egress=no-subject",
    );
    ingress("{ports: [{port: 1}]}", "192.168.0.2 -> shop/b:80", "deny ingress=NetworkPolicy");
    from("{ipBlock: {cidr: 192.168.0.2/32}}", "192.168.0.2 -> shop/b:80", "allow ingress=NetworkPolicy");
    // To its own node: judged, and undefined.
    egress("{ports: [{port: 1}]}", "shop/a -> 192.168.0.1:80", "deny undefined note=OwnNode");
    egress("{}", "shop/a -> 192.168.0.1:80", "allow undefined note=OwnNode");
    egress("{ports: [{port: 1}]}", "shop/a -> 192.168.0.2:80", "deny defined");
    row("{ingress: []}", "shop/a -> 192.168.0.1:80", "allow defined egress=default");
}

#[test]
fn a_pod_to_itself() {
    row("{policyTypes: [Ingress, Egress]}", "shop/a -> shop/a:80", "allow defined egress=self ingress=self");
    row("{policyTypes: [Ingress, Egress]}", "fd00::1 -> shop/a:80", "allow defined egress=self");
    row("{policyTypes: [Ingress, Egress]}", "shop/a -> shop/a:80 via service", "deny undefined note=Hairpin");
    row("{ingress: [{}]}", "shop/a -> shop/a:80 via service", "allow undefined note=Hairpin");
}

#[test]
fn host_network_pods_are_their_nodes() {
    // Selected by no policy, and by no peer.
    let cluster = format!("{PODS}\npolicy ops/p {{policyTypes: [Ingress, Egress]}}");
    check(
        &cluster,
        "ops/h -> 8.8.8.8:80",
        "allow undefined egress=host-network egress.subject=ops/h note=HostNetwork",
    );
    check(&cluster, "8.8.8.8 -> ops/h:80", "allow undefined ingress=host-network");
    from("{namespaceSelector: {}}", "ops/h -> shop/b:80", "deny undefined egress=host-network");
    from("{ipBlock: {cidr: 192.168.0.2/32}}", "ops/h -> shop/b:80", "allow undefined");
    // One on the pod's own node is that node.
    from("{podSelector: {}}", "ops/l -> shop/b:80", "allow undefined ingress=local-node");
}

/// Its address is its node's, and an enforcer may tell its traffic from the node's: where a rule admits such a pod, the
/// outcome is up to the enforcer.
#[test]
fn a_node_may_stand_for_its_host_network_pods() {
    let ops = "{namespaceSelector: {matchLabels: {team: ops}}, podSelector: {matchLabels: {app: a}}}";
    from(ops, "192.168.0.2 -> shop/b:80", "deny undefined egress=no-subject note=HostNetwork");
    from("{podSelector: {}}", "192.168.0.2 -> shop/b:80", "deny defined egress=no-subject");
    ingress(&format!("{{from: [{ops}], ports: [{{port: 81}}]}}"), "192.168.0.2 -> shop/b:80", "deny defined");
    // Its own node is let in anyway, and one without such a pod is not meant.
    from(ops, "192.168.0.1 -> shop/b:80", "allow defined ingress=local-node");
    let third = format!(
        "{PODS}\nnode n3 192.168.0.3\npod ops/h3 192.168.0.3 app=x node=n3 host\n
        policy shop/p {{podSelector: {{matchLabels: {{app: b}}}}, ingress: [{{from: [{ops}]}}]}}"
    );
    check(&third, "192.168.0.3 -> shop/b:80", "deny defined");
    check(&third.replace("app=x", "app=a"), "192.168.0.3 -> shop/b:80", "deny undefined");
    check(&third.replace("app=x", "app=a phase=Failed"), "192.168.0.3 -> shop/b:80", "deny defined");
    // What the node is admitted to, so are they.
    from(
        &format!("{ops}, {{ipBlock: {{cidr: 192.168.0.2/32}}}}"),
        "192.168.0.2 -> shop/b:80",
        "allow defined",
    );
    // The other way, and by the names of its ports.
    egress(&format!("{{to: [{ops}]}}"), "shop/a -> 192.168.0.2:80", "deny undefined note=HostNetwork");
    egress(&format!("{{to: [{ops}], ports: [{{port: 81}}]}}"), "shop/a -> 192.168.0.2:80", "deny defined");
    let named = format!(
        "{PODS}\npod ops/named 192.168.0.2 app=named node=n2 host port=metrics:9100
        policy shop/p {{podSelector: {{matchLabels: {{app: a}}}}, policyTypes: [Egress],
            egress: [{{to: [{{namespaceSelector: {{}}}}], ports: [{{port: metrics}}]}}]}}"
    )
    .replace(",\n ", ", ");
    check(&named, "shop/a -> 192.168.0.2:9100", "deny undefined note=HostNetwork");
    check(&named, "shop/a -> 192.168.0.2:9101", "deny defined");
}

#[test]
fn finished_pods_are_gone() {
    let cluster = "
        pod shop/done 10.0.0.1 app=a phase=Succeeded
        pod shop/failed 10.0.0.3 app=a phase=Failed
        pod shop/new 10.0.0.1 app=n
        pod shop/b 10.0.0.2 app=b
        policy shop/p {policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {matchLabels: {app: a}}}]}], egress: [{}]}";
    // The address is the new pod's, whichever was read first.
    check(cluster, "10.0.0.1 -> shop/b:80", "deny egress.subject=shop/new defined");
    check(cluster, "shop/done -> shop/b:80", "deny egress=no-subject note=FinishedPod");
    check(cluster, "10.0.0.3 -> shop/b:80", "deny egress=no-subject");
    check(cluster, "shop/b -> shop/failed:80", "allow ingress=no-subject");
}

#[test]
fn a_pod_without_an_address_matches_nothing() {
    let cluster = "
        pod shop/a app=a phase=Pending
        pod shop/b 10.0.0.2
        policy shop/p {policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {}}]}], egress: [{}]}";
    check(cluster, "shop/a -> shop/b:80", "deny egress=no-subject note=NoAddress");
    check(cluster, "shop/b -> shop/a:80", "allow ingress=no-subject");
}

#[test]
fn a_pod_that_is_only_declared_counts_as_running() {
    let cluster = "
        declared shop/a app=a
        declared shop/b app=b
        policy shop/p {podSelector: {matchLabels: {app: b}}, ingress: [{from: [{podSelector: {matchLabels: {app: a}}}]}]}";
    check(cluster, "shop/a -> shop/b:80", "allow defined ingress.by=shop/p#0 ingress.subject=shop/b");
    check(cluster, "shop/b -> shop/a:80", "allow defined ingress=default");
}

#[test]
fn a_terminating_pod_is_still_judged() {
    let cluster = "pod shop/a 10.0.0.1\npod shop/b 10.0.0.2 phase=Unknown\npolicy shop/p {}";
    check(cluster, "shop/a -> shop/b:80", "deny ingress=NetworkPolicy");
}

#[test]
fn restartable_init_containers_declare_ports() {
    let pod = |policy: &str| {
        format!(
            "sidecar shop/s 10.0.0.7 {{initContainers: [{{restartPolicy: {policy}, ports: [{{name: proxy, containerPort: 15000}}]}}]}}
            pod shop/a 10.0.0.1
            policy shop/p {{ingress: [{{ports: [{{port: proxy}}]}}]}}"
        )
    };
    check(&pod("Always"), "shop/a -> shop/s:15000", "allow");
    check(&pod("OnFailure"), "shop/a -> shop/s:15000", "deny");
}

#[test]
fn quoted_yes_and_no_are_strings() {
    let cluster = "pod shop/a 10.0.0.1 on=y\npod shop/b 10.0.0.2\n
        policy shop/p {ingress: [{from: [{podSelector: {matchLabels: {on: 'y'}}}]}]}";
    check(cluster, "shop/a -> shop/b:80", "allow");
    refused(
        "policy shop/p {ingress: [{from: [{podSelector: {matchLabels: {on: y}}}]}]}",
        "matchLabels.on: must be a string: put y in quotes",
    );
}
