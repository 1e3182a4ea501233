//! The ends of connections, by any name that people use.

use serde_json::Value;

use crate::run::{netpol, netpol_with_input};

/// Two applications, Services of all types, and nodes.
const HARBOUR: &str = "
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Node, metadata: {name: quay-1}, spec: {podCIDR: 10.8.1.0/24}, status: {addresses: [{type: InternalIP, address: 172.20.0.11}]}}
- {apiVersion: v1, kind: Node, metadata: {name: quay-2}, spec: {podCIDR: 10.8.2.0/24}, status: {addresses: [{type: InternalIP, address: 172.20.0.12}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: crane-a, namespace: dock, labels: {app: crane, half: a}, ownerReferences: [{kind: StatefulSet, name: crane, controller: true}]}, spec: {nodeName: quay-1, containers: [{name: c, ports: [{name: api, containerPort: 7000}]}]}, status: {phase: Running, podIP: 10.8.1.4}}
- {apiVersion: v1, kind: Pod, metadata: {name: crane-b, namespace: dock, labels: {app: crane, half: b}, ownerReferences: [{kind: StatefulSet, name: crane, controller: true}]}, spec: {nodeName: quay-2, containers: [{name: c, ports: [{name: api, containerPort: 7000}]}]}, status: {phase: Running, podIP: 10.8.2.4}}
- {apiVersion: v1, kind: Pod, metadata: {name: ship, namespace: sea, labels: {app: ship}}, spec: {nodeName: quay-2, containers: [{name: c}]}, status: {phase: Running, podIP: 10.8.2.9}}
- {apiVersion: apps/v1, kind: Deployment, metadata: {name: buoy, namespace: sea}, spec: {template: {metadata: {labels: {app: buoy}}, spec: {containers: [{name: c}]}}}}
- {apiVersion: v1, kind: Service, metadata: {name: crane, namespace: dock}, spec: {type: LoadBalancer, clusterIP: 10.96.3.3, selector: {app: crane}, ports: [{port: 80, targetPort: api, nodePort: 31000}]}, status: {loadBalancer: {ingress: [{ip: 198.51.100.30}]}}}
- {apiVersion: v1, kind: Service, metadata: {name: direct, namespace: dock}, spec: {type: LoadBalancer, externalTrafficPolicy: Local, clusterIP: 10.96.3.4, selector: {app: crane}, ports: [{port: 81, targetPort: 7000}]}, status: {loadBalancer: {ingress: [{ip: 198.51.100.31}]}}}
- {apiVersion: v1, kind: Service, metadata: {name: plain, namespace: dock}, spec: {clusterIP: None, selector: {app: crane}, ports: [{port: 7000}]}}
- {apiVersion: v1, kind: Service, metadata: {name: empty, namespace: dock}, spec: {clusterIP: 10.96.3.5, selector: {app: nothing}, ports: [{port: 80}]}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: crane, namespace: dock}
spec:
  podSelector: {matchLabels: {app: crane}}
  policyTypes: [Ingress]
  ingress:
  - {from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: sea}}, podSelector: {matchLabels: {app: ship}}}, {ipBlock: {cidr: 203.0.113.0/24}}], ports: [{port: 7000}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: half, namespace: dock}
spec:
  podSelector: {matchLabels: {half: a}}
  policyTypes: [Ingress]
  ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: buoy}}}]}]
";

fn harbour() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("harbour.yaml");
    std::fs::write(&file, HARBOUR).unwrap();
    let path = file.to_str().unwrap().to_owned();
    (folder, path)
}

/// The answer to a query, as `allow`, `deny` or, where it is undefined, `undefined`; or the error.
fn answer(path: &str, query: &str) -> (String, Value) {
    let run = netpol_with_input(&["check", "-f", path, "-q", "-", "-o", "json"], query);
    let answer: Value = serde_json::from_str(&run.out).unwrap();
    let text = match (&answer["error"], &answer["defined"], &answer["allowed"]) {
        (Value::String(error), ..) => error.clone(),
        (_, Value::Bool(false), _) => "undefined".to_owned(),
        (_, _, Value::Bool(true)) => "allow".to_owned(),
        _ => "deny".to_owned(),
    };
    (text, answer)
}

#[test]
fn ends_by_any_name() {
    let (_folder, path) = harbour();
    for (src, dst, port, expected) in [
        // Pods and workloads.
        (r#""sea/ship""#, r#""dock/crane-b""#, "7000", "allow"),
        (r#"{"pod":"sea/buoy"}"#, r#"{"pod":"dock/crane-b"}"#, "7000", "deny"),
        (r#""deploy/sea/buoy""#, r#"{"pod":"dock/crane-a"}"#, "7000", "allow"),
        (r#"{"workload":"deployment/buoy","namespace":"sea"}"#, r#""dock/sts/crane""#, "7000", "undefined"),
        (r#""sea/ship""#, r#""dock/crane""#, "7000", "allow"),
        // A Service by name and by its cluster address, at its own port.
        (r#""sea/ship""#, r#"{"service":"dock/crane"}"#, "80", "allow"),
        (r#""sea/ship""#, r#""crane.dock.svc.cluster.local""#, "80", "allow"),
        (r#""sea/ship""#, r#"{"ip":"10.96.3.3"}"#, "80", "allow"),
        (r#"{"ip":"8.8.8.8"}"#, r#""svc/dock/direct""#, "81", "deny"),
        // Only one of the two pods behind it admits the buoy.
        (r#""sea/buoy""#, r#""svc/dock/crane""#, "80", "undefined"),
        // A name without an address of its own stands for the pods.
        (r#""sea/ship""#, r#""svc/dock/plain""#, "7000", "allow"),
        // By a load balancer or a node port a node may take the source's place, unless the Service keeps it.
        (r#""sea/ship""#, r#"{"ip":"198.51.100.30"}"#, "80", "undefined"),
        (r#"{"ip":"203.0.113.9"}"#, r#"{"ip":"198.51.100.30"}"#, "80", "undefined"),
        (r#"{"ip":"203.0.113.9"}"#, r#"{"ip":"172.20.0.11"}"#, "31000", "undefined"),
        (r#"{"ip":"203.0.113.9"}"#, r#"{"ip":"198.51.100.31"}"#, "81", "allow"),
        (r#"{"ip":"192.0.2.9"}"#, r#"{"ip":"198.51.100.31"}"#, "81", "deny"),
        // Nodes, ranges and the world.
        (r#"{"node":"quay-1"}"#, r#""dock/crane-b""#, "7000", "deny"),
        (r#"{"node":"quay-2"}"#, r#""dock/crane-b""#, "7000", "allow"),
        (r#""203.0.113.64/26""#, r#""dock/crane-b""#, "7000", "allow"),
        (r#"{"cidr":"203.0.112.0/22"}"#, r#""dock/crane-b""#, "7000", "undefined"),
        (r#""world""#, r#""dock/crane-b""#, "7000", "undefined"),
        (r#""world""#, r#""dock/crane-b""#, "22", "deny"),
        (r#""sea/ship""#, r#""world""#, "443", "allow"),
        // Pods that need not exist.
        (r#""label:app=ship,ns=sea""#, r#""dock/crane-b""#, "7000", "allow"),
        (r#"{"labels":{"app":"ship"},"namespace":"lake"}"#, r#""dock/crane-b""#, "7000", "deny"),
        (r#""sea/ship""#, r#""label:app=crane,ns=dock""#, "7000", "allow"),
        // What is not there.
        (r#""sea/shipp""#, r#""dock/crane-b""#, "1", "there is no pod \"sea/shipp\"; did you mean sea/ship?"),
        (
            r#""sea/ship""#,
            r#""svc/dock/cranes""#,
            "1",
            "there is no Service \"dock/cranes\"; did you mean dock/crane?",
        ),
        (
            r#""sea/ship""#,
            r#""svc/dock/crane""#,
            "7000",
            "Service dock/crane has no port TCP 7000; it has: TCP 80 (node port 31000)",
        ),
    ] {
        let query = format!(r#"{{"src":{src},"dst":{dst},"port":{port}}}"#);
        let (got, answer) = answer(&path, &query);
        assert_eq!(got, expected, "{query}: {answer}");
    }
    let (empty, _) = answer(&path, r#"{"src":"sea/ship","dst":"svc/dock/empty","port":80}"#);
    assert!(empty.starts_with("Service dock/empty has no pod behind it"), "{empty}");
}

/// A pod's Service has a node port, and nodes are judged otherwise than the pod that asks.
#[test]
fn via_a_service_the_source_may_be_a_node() {
    let (_folder, path) = harbour();
    for (via, expected) in [("false", "deny"), ("true", "undefined")] {
        let query = format!(r#"{{"src":"sea/buoy","dst":"dock/crane-b","port":7000,"via_service":{via}}}"#);
        assert_eq!(answer(&path, &query).0, expected, "{query}");
    }
}

#[test]
fn without_a_port_all_of_them_are_meant() {
    let (_folder, path) = harbour();
    let (got, whole) = answer(&path, r#"{"src":"sea/ship","dst":"dock/crane-b"}"#);
    assert_eq!(got, "allow");
    assert_eq!(whole["ports"].to_string(), r#"[{"defined":true,"first":7000,"last":7000,"protocol":"TCP"}]"#);
    let (udp, _) = answer(&path, r#"{"src":"sea/ship","dst":"dock/crane-b","protocol":"UDP"}"#);
    assert_eq!(udp, "deny");
    let (service, whole) = answer(&path, r#"{"src":"sea/ship","dst":"svc/dock/crane"}"#);
    assert_eq!((service.as_str(), whole["ports"][0]["first"].as_u64()), ("allow", Some(80)));
}

#[test]
fn explain_says_which_of_several_it_is_about() {
    let (_folder, path) = harbour();
    let run = netpol(&[
        "explain",
        "-f",
        &path,
        "-n",
        "dock",
        "--from",
        "sea/buoy",
        "--to",
        "svc/crane",
        "--port",
        "80",
    ]);
    for line in [
        "sea/buoy -> Service dock/crane TCP 80: denied, but up to the implementation\n",
        "  sea/buoy -> dock/crane-a: allowed\n",
        "  sea/buoy -> dock/crane-b: denied\n",
        "\nfor sea/buoy -> dock/crane-b TCP 7000:\n",
        "note: it stands for several connections",
    ] {
        assert!(run.out.contains(line), "{}{}", run.out, run.err);
    }
    let unmet =
        netpol(&["explain", "-f", &path, "--from", "sea/ship", "--to", "dock/crane-b", "--expect", "deny"]);
    assert_eq!((unmet.status, unmet.out.contains("allowed ports: TCP 7000\n")), (1, true), "{}", unmet.out);
}
