//! `netpol lint`, mistake by mistake.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::run::{netpol, scenario};

/// Two namespaces, their pods, DNS, and a Service; no mistake in it.
const CLEAN: &str = "
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: shop}}}
- {apiVersion: v1, kind: Namespace, metadata: {name: kube-system}}
- {apiVersion: v1, kind: Node, metadata: {name: n1}, spec: {podCIDR: 10.0.0.0/16}}
- {apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, labels: {app: web}}, spec: {containers: [{name: m, ports: [{containerPort: 8080, name: http}]}]}, status: {podIP: 10.0.0.1}}
- {apiVersion: v1, kind: Pod, metadata: {name: db, namespace: shop, labels: {app: db}}, spec: {containers: [{name: m, ports: [{containerPort: 5432}]}]}, status: {podIP: 10.0.0.2}}
- {apiVersion: v1, kind: Pod, metadata: {name: dns, namespace: kube-system, labels: {k8s-app: kube-dns}}, spec: {containers: [{name: m, ports: [{containerPort: 53, protocol: UDP}, {containerPort: 53}]}]}, status: {podIP: 10.0.0.53}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: default-deny, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: dns, namespace: shop}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress:
  - to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}]
    ports: [{port: 53, protocol: UDP}, {port: 53}]
";

fn policy(spec: &str) -> String {
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p, namespace: shop}}\nspec: {spec}\n"
    )
}

/// The findings about a cluster with this added, as `code path`.
fn lint(added: &str) -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.yaml");
    std::fs::write(&file, CLEAN.to_owned() + added).unwrap();
    let run = netpol(&["lint", "-f", file.to_str().unwrap(), "-o", "json"]);
    let findings: Vec<Value> = serde_json::from_str(&run.out).unwrap();
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    for finding in &findings {
        assert!(!text(finding, "reason").is_empty() && !text(finding, "remedy").is_empty());
        assert!(finding["line"].as_u64().is_some_and(|line| line > 0), "{finding}");
    }
    findings.iter().map(|finding| format!("{} {}", text(finding, "code"), text(finding, "path"))).collect()
}

/// Where clouds hand out credentials, one address at a time.
#[test]
fn metadata_addresses() {
    for (cidr, found) in [
        ("169.254.169.254/32", true),
        ("169.254.170.2/32", true),
        ("169.254.170.23/32", true),
        ("100.100.100.200/32", true),
        ("'fd00:ec2::254/128'", true),
        ("'fd00:ec2::23/128'", true),
        ("'fd20:ce::254/128'", true),
        ("169.254.1.1/32", false),
        ("'fd20:ce::1/128'", false),
    ] {
        let spec = format!(
            "{{podSelector: {{}}, policyTypes: [Egress], egress: [{{to: [{{ipBlock: {{cidr: {cidr}}}}}]}}]}}"
        );
        let findings = lint(&policy(&spec));
        assert_eq!(
            findings.iter().any(|finding| finding.starts_with("metadata-reachable")),
            found,
            "{cidr}: {findings:?}"
        );
    }
}

#[test]
fn a_clean_cluster_has_no_findings() {
    assert_eq!(lint(""), BTreeSet::new());
}

#[test]
fn mistakes_one_by_one() {
    for (spec, wanted) in [
        (
            "{podSelector: {matchLabels: {app: wbe}}, policyTypes: [Ingress]}",
            "selector-matches-no-pod spec.podSelector",
        ),
        (
            "{policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {app: wbe}}}]}]}",
            "selector-matches-no-pod spec.ingress[0].from[0].podSelector",
        ),
        (
            "{policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {team: shpo}}}]}]}",
            "namespace-selector-matches-nothing spec.ingress[0].from[0].namespaceSelector",
        ),
        (
            "{policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {team: shop}}}, {podSelector: {matchLabels: {app: web}}}]}]}",
            "and-or-suspicion spec.ingress[0].from[1]",
        ),
        ("{podSelector: {}}", "egress-open-by-default spec"),
        (
            "{podSelector: {matchLabels: {app: web}}, ingress: [{}], egress: []}",
            "egress-open-by-default spec.egress",
        ),
        (
            "{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress], ingress: [{ports: [{port: 3306}]}]}",
            "port-not-exposed spec.ingress[0].ports[0].port",
        ),
        (
            "{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress], ingress: [{ports: [{port: http}]}]}",
            "named-port-undeclared spec.ingress[0].ports[0].port",
        ),
        (
            "{policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 169.254.0.0/16}}]}]}",
            "metadata-reachable spec.egress[0].to[0].ipBlock",
        ),
        ("{policyTypes: [Egress], egress: [{ports: [{port: 80}]}]}", "metadata-reachable spec.egress[0]"),
        (
            "{policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}",
            "cidr-covers-cluster spec.egress[0].to[0].ipBlock.cidr",
        ),
        (
            "{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}]}",
            "one-sided-pair spec.ingress[0].from[0]",
        ),
        (
            "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 5432}]}]}",
            "one-sided-pair spec.egress[0].to[0]",
        ),
        (
            "{policyTypes: [Ingress], ingress: [{ports: [{port: 1, endPort: 9000}]}, {ports: [{port: 8080}]}]}",
            "rule-shadowed spec.ingress[1]",
        ),
    ] {
        let found = lint(&policy(spec));
        assert!(found.contains(wanted), "{spec}: {found:?}");
    }
}

#[test]
fn what_is_right_is_no_finding() {
    for spec in [
        "{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress], ingress: [{from: [{ipBlock: {cidr: 203.0.113.0/24}}], ports: [{port: http}]}]}",
        "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 169.254.0.0/16, 100.64.0.0/10]}}], ports: [{port: 443}]}]}",
        "{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress], ingress: [{ports: [{port: 8080}]}, {ports: [{port: 8080, protocol: UDP}, {port: http}]}]}",
    ] {
        let mut found = lint(&policy(spec));
        found.retain(|finding| !finding.starts_with("port-not-exposed"));
        assert_eq!(found, BTreeSet::new(), "{spec}");
    }
}

#[test]
fn cluster_wide_policies() {
    let cnp = |rules: &str| {
        let head = "---\napiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: c}\n";
        format!(
            "{head}spec: {{tier: Admin, priority: 1, subject: {{namespaces: {{matchLabels: {{team: shop}}}}}}, {rules}}}\n"
        )
    };
    let shadowed = "ingress: [{action: Deny, from: [{namespaces: {}}]}, {action: Accept, from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}}]}]";
    assert!(lint(&cnp(shadowed)).contains("rule-shadowed spec.ingress[1]"));
    assert!(
        lint(&cnp("ingress: [{action: Accept, from: [{galaxies: {}}]}]"))
            .contains("unknown-peer spec.ingress[0].from[0]")
    );
    let nowhere = cnp("ingress: []").replace("team: shop", "team: shpo");
    assert!(lint(&nowhere).contains("namespace-selector-matches-nothing spec.subject"));
}

#[test]
fn lint_reports_what_could_not_be_loaded_and_says_how_bad_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.yaml");
    std::fs::write(&file, "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: {ingress: [{from: [{}]}]}\n").unwrap();
    let run = netpol(&["lint", "-f", file.to_str().unwrap(), "-o", "json"]);
    let findings: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(
        (findings[0]["code"].as_str(), findings[0]["line"].as_u64(), run.status),
        (Some("invalid-object"), Some(4), 2)
    );
    assert_eq!(netpol(&["lint", "-f", &scenario("09-typo")]).status, 1);
    assert_eq!(netpol(&["lint", "-f", &scenario("08-gateway")]).status, 0);
    assert_eq!(netpol(&["lint", "-f", &scenario("06-three-tiers")]).status, 0);
}

#[test]
fn lint_as_sarif() {
    let manifests = scenario("09-typo");
    let run = netpol(&["lint", "-f", &manifests, "-o", "sarif"]);
    let log: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let result = &log["runs"][0]["results"][0];
    assert_eq!(result["ruleId"], "selector-matches-no-pod");
    assert_eq!(result["level"], "warning");
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(
        (place["artifactLocation"]["uri"].as_str(), place["region"]["startLine"].as_u64()),
        (Some(&*manifests), Some(46))
    );
    let rules = log["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
    assert!(rules.iter().any(|rule| rule["id"] == "selector-matches-no-pod"));
}
