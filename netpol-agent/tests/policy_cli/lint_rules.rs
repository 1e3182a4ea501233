//! `netpol lint`: each rule with an example that fires, and one like it that does not.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::run::netpol;

/// A policy of namespace `mill`.
fn policy(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: mill}}\nspec: {spec}\n"
    )
}

/// A pod with its name as the label `app`.
fn pod(namespace: &str, name: &str, spec: &str, ip: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {namespace}, labels: {{app: {name}}}}}\nspec: {{{spec}}}\nstatus: {{phase: Running, podIP: {ip}}}\n"
    )
}

fn node(name: &str, ip: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Node\nmetadata: {{name: {name}}}\nspec: {{podCIDR: 10.4.0.0/16}}\nstatus: {{addresses: [{{type: InternalIP, address: {ip}}}]}}\n"
    )
}

fn service(spec: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: wheel, namespace: mill}}\nspec: {{{spec}}}\n"
    )
}

/// The findings, as `code object`, those that are at most information in brackets.
fn lint(text: &str) -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.yaml");
    std::fs::write(&file, text).unwrap();
    let run = netpol(&["lint", "-f", file.to_str().unwrap(), "-o", "json"]);
    let findings: Vec<Value> = serde_json::from_str(&run.out).unwrap();
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let line = |finding: &Value| {
        let line = format!("{} {}", text(finding, "code"), text(finding, "object"));
        if finding["severity"] == "info" { format!("({line})") } else { line }
    };
    findings.iter().map(line).collect()
}

#[track_caller]
fn fires(text: &str, finding: &str) {
    let found = lint(text);
    assert!(found.contains(finding), "{finding} in {found:?}\n{text}");
}

#[track_caller]
fn is_silent(text: &str, code: &str) {
    let found = lint(text);
    assert!(!found.iter().any(|finding| finding.contains(code)), "{code} in {found:?}\n{text}");
}

/// One pod, and what the rules about peers need.
fn wheel() -> String {
    pod("mill", "wheel", "containers: [{name: c, ports: [{name: grind, containerPort: 7070}]}]", "10.4.0.7")
}

#[test]
fn other_namespaces_are_elsewhere_and_slips_are_not() {
    let from = |labels: &str| {
        let spec = format!(
            "{{podSelector: {{}}, policyTypes: [Ingress], ingress: [{{from: [{{namespaceSelector: {{matchLabels: {{{labels}}}}}}}]}}]}}"
        );
        wheel() + &policy("p", &spec)
    };
    let code = "namespace-selector-matches-nothing";
    for labels in
        ["kubernetes.io/metadata.name: monitoring", "team: water", "kubernetes.io/metadata.name: mill-2"]
    {
        is_silent(&from(labels), code);
    }
    fires(&from("kubernetes.io/metadata.name: mlil"), &format!("{code} NetworkPolicy mill/p"));
}

#[test]
fn pods_of_a_repository_are_not_all_pods() {
    let peer = |peer: &str| {
        let spec = format!(
            "{{podSelector: {{matchLabels: {{app: wheel}}}}, policyTypes: [Ingress], ingress: [{{from: [{peer}]}}]}}"
        );
        wheel() + &pod("mill", "stone", "", "10.4.0.8") + &policy("p", &spec)
    };
    let code = "selector-matches-no-pod";
    // Whoever wants in wears the label: nobody has to be here.
    is_silent(&peer("{podSelector: {matchLabels: {wheel-client: 'true'}}}"), code);
    fires(&peer("{podSelector: {matchLabels: {app: stnoe}}}"), &format!("{code} NetworkPolicy mill/p"));
    is_silent(&peer("{namespaceSelector: {}, podSelector: {matchLabels: {app: scraper}}}"), code);
    // A policy for a workload of another repository.
    is_silent(
        &(pod("other", "x", "", "10.4.1.1") + &policy("p", "{podSelector: {matchLabels: {app: wheel}}}")),
        code,
    );
    // A workload is as good as a pod.
    let deployment = "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: belt, namespace: mill}\nspec: {template: {metadata: {labels: {app: belt}}}}\n";
    is_silent(&(wheel() + deployment + &policy("p", "{podSelector: {matchLabels: {app: belt}}}")), code);
}

#[test]
fn ports_that_nobody_is_known_to_serve() {
    let to = |peer: &str, port: u16| {
        let spec = format!(
            "{{podSelector: {{}}, policyTypes: [Egress], egress: [{{to: [{peer}], ports: [{{port: {port}, protocol: UDP}}, {{port: {port}}}]}}]}}"
        );
        wheel() + &policy("p", &spec)
    };
    let code = "port-not-exposed";
    is_silent(&to("{namespaceSelector: {}}", 53), code);
    is_silent(&to("{namespaceSelector: {matchLabels: {team: water}}}", 9999), code);
    fires(&to("{podSelector: {matchLabels: {app: wheel}}}", 9999), &format!("{code} NetworkPolicy mill/p"));
    // Pods that declare nothing, and a Service that says where they listen.
    let quiet = pod("mill", "quiet", "containers: [{name: c}]", "10.4.0.9");
    let spec = |port: u16| {
        format!(
            "{{podSelector: {{}}, policyTypes: [Egress], egress: [{{to: [{{podSelector: {{matchLabels: {{app: quiet}}}}}}], ports: [{{port: {port}}}]}}]}}"
        )
    };
    let behind = service("selector: {app: quiet}, ports: [{port: 443, targetPort: 9443}]");
    fires(&format!("{quiet}{behind}{}", policy("p", &spec(443))), &format!("{code} NetworkPolicy mill/p"));
    is_silent(&format!("{quiet}{behind}{}", policy("p", &spec(9443))), code);
    is_silent(&format!("{quiet}{}", policy("p", &spec(443))), code);
    let same = service("selector: {app: quiet}, ports: [{port: 443}]");
    is_silent(&format!("{quiet}{same}{}", policy("p", &spec(443))), code);
}

#[test]
fn promises_to_nobody_in_particular() {
    let deny = policy("deny", "{podSelector: {}, policyTypes: [Ingress, Egress]}");
    let base = wheel() + &pod("mill", "stone", "", "10.4.0.8") + &deny;
    let to = |subject: &str, peer: &str| {
        policy(
            "p",
            &format!(
                "{{podSelector: {subject}, policyTypes: [Egress], egress: [{{to: [{peer}], ports: [{{port: 7070}}]}}]}}"
            ),
        )
    };
    let code = "one-sided-pair";
    is_silent(&(base.clone() + &to("{}", "{namespaceSelector: {}}")), code);
    is_silent(&(base.clone() + &to("{}", "{podSelector: {}}")), code);
    let named = "{podSelector: {matchLabels: {app: wheel}}}";
    fires(
        &(base.clone() + &to("{matchLabels: {app: stone}}", named)),
        &format!("{code} NetworkPolicy mill/p"),
    );
    fires(&(base.clone() + &to("{}", named)), &format!("{code} NetworkPolicy mill/p"));
    // Of all pods, one gets in: the policy for all of them is of use.
    let third = pod("mill", "belt", "", "10.4.0.10");
    let admits = policy(
        "in",
        "{podSelector: {matchLabels: {app: wheel}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {app: belt}}}]}]}",
    );
    is_silent(&(base + &third + &admits + &to("{}", named)), code);
}

/// The DNS of a cluster: a Service, and pods behind it on a port of their own.
fn dns(namespace: &str, port: u16) -> String {
    let spec =
        format!("containers: [{{name: c, ports: [{{name: dns, containerPort: {port}, protocol: UDP}}]}}]");
    pod(namespace, "resolver", &spec, "10.4.9.9")
        + &format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: dns-default, namespace: {namespace}}}\nspec: {{clusterIP: 10.96.0.10, selector: {{app: resolver}}, ports: [{{name: dns, port: 53, targetPort: dns, protocol: UDP}}]}}\n"
        )
}

#[test]
fn names_can_be_resolved() {
    let egress = |rule: &str| {
        wheel() + &policy("p", &format!("{{podSelector: {{}}, policyTypes: [Egress], egress: [{rule}]}}"))
    };
    let any = |port: u16| {
        format!("{{to: [{{namespaceSelector: {{}}}}], ports: [{{port: {port}, protocol: UDP}}]}}")
    };
    let (code, finding) = ("egress-without-dns", "egress-without-dns NetworkPolicy mill/p");
    let local = "{to: [{ipBlock: {cidr: 169.254.20.10/32}}], ports: [{port: 53, protocol: UDP}]}";
    let cache = pod("kube-system", "cache", "hostNetwork: true, containers: [{name: c}]", "172.20.0.11")
        .replace("app: cache", "k8s-app: node-local-dns");
    // Nobody's DNS is known: a rule for it is enough, one for the own namespace is not.
    is_silent(&egress(&any(53)), code);
    is_silent(&egress(local), code);
    fires(&egress("{to: [{podSelector: {}}]}"), finding);
    fires(&egress(&any(443)), finding);
    // The pods' own port counts, not the Service's.
    is_silent(&(dns("kube-system", 53) + &egress(&any(53))), code);
    is_silent(&(dns("openshift-dns", 5353) + &egress(&any(5353))), code);
    fires(&(dns("openshift-dns", 5353) + &egress(&any(53))), finding);
    // Where a cache is on each node, that is whom pods ask.
    is_silent(&(dns("kube-system", 53) + &cache + &egress(local)), code);
    fires(&(dns("kube-system", 53) + &cache + &egress(&any(53))), finding);
    is_silent(&(dns("kube-system", 53) + &cache + &egress(&format!("{}, {local}", any(53)))), code);
}

#[test]
fn egress_that_is_left_open_on_purpose() {
    let egress = |rule: &str| {
        wheel() + &policy("p", &format!("{{podSelector: {{}}, policyTypes: [Egress], egress: [{rule}]}}"))
    };
    is_silent(&egress("{}"), "metadata-reachable");
    fires(&egress("{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}"), "metadata-reachable NetworkPolicy mill/p");
    is_silent(
        &egress("{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [169.254.0.0/16, 100.100.100.200/32]}}]}"),
        "metadata-reachable",
    );
}

#[test]
fn list_items_that_are_one_each_on_purpose() {
    let from = |peers: &str| {
        let labelled =
            "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: river, labels: {team: water}}\n";
        let other = pod("river", "miller", "", "10.4.2.1");
        let spec = format!(
            "{{podSelector: {{matchLabels: {{app: wheel}}}}, policyTypes: [Ingress], ingress: [{{from: [{peers}]}}]}}"
        );
        wheel() + labelled + &other + &pod("mill", "belt", "", "10.4.0.10") + &policy("p", &spec)
    };
    let water = "{namespaceSelector: {matchLabels: {team: water}}}";
    let pods = |app: &str| format!("{{podSelector: {{matchLabels: {{app: {app}}}}}}}");
    let (code, finding) = ("and-or-suspicion", "and-or-suspicion NetworkPolicy mill/p");
    is_silent(&from(&format!("{water}, {}", pods("belt"))), code);
    fires(&from(&format!("{water}, {}", pods("miller"))), finding);
    is_silent(&from(&format!("{{ipBlock: {{cidr: 192.0.2.0/24}}}}, {water}, {}", pods("miller"))), code);
}

#[test]
fn complementary_peers() {
    let from = |peers: &str| {
        wheel()
            + &policy(
                "p",
                &format!("{{podSelector: {{}}, policyTypes: [Ingress], ingress: [{{from: [{peers}]}}]}}"),
            )
    };
    let not = |value: &str| {
        format!("{{podSelector: {{matchExpressions: [{{key: app, operator: NotIn, values: [{value}]}}]}}}}")
    };
    let (code, finding) = ("complementary-peers", "complementary-peers NetworkPolicy mill/p");
    fires(&from(&format!("{}, {}", not("a"), not("b"))), finding);
    is_silent(&from(&not("'a', 'b'")), code);
    is_silent(&from(&format!("{}, {}", not("a"), not("'a', 'b'"))), code);
    let block = |hole: &str| format!("{{ipBlock: {{cidr: 0.0.0.0/0, except: [{hole}]}}}}");
    fires(&from(&format!("{}, {}", block("192.0.2.0/25"), block("192.0.2.128/25"))), finding);
    is_silent(&from(&format!("{}, {}", block("192.0.2.0/25"), block("192.0.2.0/24"))), code);
}

#[test]
fn pods_in_the_network_of_their_node() {
    let agent = pod("mill", "gauge", "hostNetwork: true, containers: [{name: c}]", "172.20.0.11");
    let code = "host-network-pod-selected";
    fires(&(wheel() + &agent + &policy("p", "{podSelector: {}}")), &format!("{code} NetworkPolicy mill/p"));
    // Who writes a policy for such a pod alone knows it.
    let own = policy("p", "{podSelector: {matchLabels: {app: gauge}}}");
    fires(&(wheel() + &agent + &own), &format!("({code} NetworkPolicy mill/p)"));
    is_silent(&(wheel() + &agent + &policy("p", "{podSelector: {matchLabels: {app: wheel}}}")), code);
    let from = |app: &str| {
        format!(
            "{{podSelector: {{matchLabels: {{app: wheel}}}}, ingress: [{{from: [{{podSelector: {{matchLabels: {{app: {app}}}}}}}]}}]}}"
        )
    };
    fires(&(wheel() + &agent + &policy("p", &from("gauge"))), "host-network-peer NetworkPolicy mill/p");
    is_silent(&(wheel() + &agent + &policy("p", &from("wheel"))), "host-network-peer");
}

#[test]
fn nodes_in_the_place_of_the_source() {
    let exposed = |more: &str| {
        service(&format!(
            "type: NodePort, {more}selector: {{app: wheel}}, ports: [{{port: 80, targetPort: grind, nodePort: 30700}}]"
        ))
    };
    let base = node("n1", "172.20.0.11") + &node("n2", "172.20.0.12") + &wheel();
    let from = |block: &str| {
        policy(
            "p",
            &format!(
                "{{podSelector: {{matchLabels: {{app: wheel}}}}, policyTypes: [Ingress], ingress: [{{from: [{{ipBlock: {block}}}], ports: [{{port: grind}}]}}]}}"
            ),
        )
    };
    let local = exposed("externalTrafficPolicy: Local, ");
    let without_pods = from("{cidr: 0.0.0.0/0, except: [10.4.0.0/16]}");
    let (code, finding) = ("ipblock-admits-nodes", "ipblock-admits-nodes NetworkPolicy mill/p");
    fires(&(base.clone() + &exposed("") + &without_pods), finding);
    is_silent(&(base.clone() + &local + &without_pods), code);
    is_silent(&(base.clone() + &without_pods), code);
    is_silent(&(base.clone() + &exposed("") + &from("{cidr: 0.0.0.0/0}")), code);
    is_silent(
        &(base.clone() + &exposed("") + &from("{cidr: 0.0.0.0/0, except: [10.4.0.0/16, 172.20.0.0/16]}")),
        code,
    );
    let clients = from("{cidr: 192.0.2.0/24}");
    let (code, finding) = ("source-rewritten", "source-rewritten NetworkPolicy mill/p");
    fires(&(base.clone() + &exposed("") + &clients), finding);
    fires(&(wheel() + &exposed("") + &clients), finding);
    is_silent(&(base.clone() + &local + &clients), code);
    is_silent(&(base.clone() + &exposed("") + &from("{cidr: 0.0.0.0/0}")), code);
    // Perhaps that is where the nodes are.
    is_silent(&(wheel() + &exposed("") + &from("{cidr: 172.16.0.0/12}")), code);
    is_silent(
        &(base
            + &exposed("")
            + &clients
            + &policy("nodes", "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 172.20.0.0/24}}]}]}")),
        code,
    );
}

#[test]
fn ingress_that_is_closed_without_a_word() {
    let (code, finding) = ("ingress-denied-by-default", "ingress-denied-by-default NetworkPolicy mill/p");
    let p = |spec: &str| wheel() + &policy("p", spec);
    fires(&p("{podSelector: {}, egress: [{}]}"), finding);
    is_silent(&p("{podSelector: {}, policyTypes: [Egress], egress: [{}]}"), code);
    is_silent(&p("{podSelector: {}, policyTypes: [Ingress, Egress], egress: [{}]}"), code);
    is_silent(&p("{podSelector: {}, ingress: [], egress: [{}]}"), code);
    is_silent(&p("{podSelector: {}, ingress: [{}], egress: [{}]}"), code);
    let closed = policy("closed", "{podSelector: {}, policyTypes: [Ingress]}");
    is_silent(&(p("{podSelector: {}, egress: [{}]}") + &closed), code);
}

#[test]
fn policies_of_one_priority() {
    let admin = |name: &str, priority: u16, team: &str, action: &str, port: u16| {
        format!(
            "---\napiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: {{name: {name}}}\nspec: {{priority: {priority}, subject: {{namespaces: {{matchLabels: {{team: {team}}}}}}}, ingress: [{{action: {action}, from: [{{namespaces: {{}}}}], ports: [{{portNumber: {{protocol: TCP, port: {port}}}}}]}}]}}\n"
        )
    };
    let code = "equal-priority";
    let one = admin("a", 7, "water", "Allow", 80);
    fires(&(one.clone() + &admin("b", 7, "water", "Deny", 80)), &format!("{code} AdminNetworkPolicy b"));
    is_silent(&(one.clone() + &admin("b", 8, "water", "Deny", 80)), code);
    is_silent(&(one.clone() + &admin("b", 7, "wind", "Deny", 80)), code);
    is_silent(&(one.clone() + &admin("b", 7, "water", "Allow", 80)), code);
    is_silent(&(one + &admin("b", 7, "water", "Deny", 81)), code);
}

#[test]
fn how_it_is_written() {
    let p = |spec: &str| wheel() + &policy("p", spec);
    let closed = "{podSelector: {}, policyTypes: [Ingress]}";
    fires(
        &(p("{podSelector: {}, ingress: [{}]}") + &policy("p", closed)),
        "duplicate-object NetworkPolicy mill/p",
    );
    fires(&(p(closed) + &policy("p", closed)), "(duplicate-object NetworkPolicy mill/p)");
    let word = |value: &str| p(&format!("{{podSelector: {{matchLabels: {{tier: {value}}}}}}}"));
    fires(&word("no"), "invalid-object NetworkPolicy mill/p");
    is_silent(&word("'no'"), "invalid-object");
    fires(&word("'${TIER}'"), "template-placeholder NetworkPolicy mill/p");
    let label = wheel().replace("app: wheel", "app: wheel, on-call: yes");
    fires(&label, "invalid-object Pod mill/wheel");
    is_silent(&label.replace("yes", "'yes'"), "invalid-object");
    let open = wheel() + &pod("mill", "belt", "", "10.4.0.10");
    fires(
        &(open.clone() + &policy("p", "{podSelector: {matchLabels: {app: wheel}}}")),
        "(workload-not-selected Pod mill/belt)",
    );
    is_silent(&(open.clone() + &policy("p", "{podSelector: {}}")), "workload-not-selected");
    is_silent(&open, "workload-not-selected");
}

#[test]
fn findings_that_do_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let text = wheel() + &policy("p", "{podSelector: {}, egress: [{}]}");
    let file = write("m.yaml", &text);
    assert_eq!(netpol(&["lint", "-f", &file]).status, 1);
    assert_eq!(netpol(&["lint", "-f", &file, "--ignore", "ingress-denied-by-default"]).status, 0);
    assert_eq!(netpol(&["lint", "-f", &file, "--select", "rule-shadowed"]).status, 0);
    assert_eq!(netpol(&["lint", "-f", &file, "--fail-on", "error"]).status, 0);
    assert_eq!(netpol(&["lint", "-f", &file, "--ignore", "all", "--fail-on", "never"]).status, 2);
    let known = folder.path().join("known.json");
    let known = known.to_str().unwrap();
    assert_eq!(netpol(&["lint", "-f", &file, "--write-baseline", known]).status, 0);
    let later = write("later.yaml", &format!("---\n{text}"));
    assert_eq!(netpol(&["lint", "-f", &later, "--baseline", known]).status, 0);
    let annotated = |value: &str| {
        text.replace("name: p, ", &format!("name: p, annotations: {{netpol/lint-ignore: '{value}'}}, "))
    };
    is_silent(
        &annotated("ingress-denied-by-default: a batch job, nobody calls it"),
        "ingress-denied-by-default",
    );
    fires(&annotated("ingress-denied-by-default"), "ingress-denied-by-default NetworkPolicy mill/p");
    fires(&annotated("ingress-denied-by-default"), "ignore-without-reason NetworkPolicy mill/p");
}
