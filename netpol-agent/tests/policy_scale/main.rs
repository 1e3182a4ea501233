//! What holds at any size: evaluation allocates nothing, and a large folder of manifests loads whatever is in it.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fmt::Write as _;

use netpol_agent::{
    cluster::manifests,
    model::Protocol,
    policy::{ConnectionPeer, Engine, Query},
};

const CLUSTER: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: shop}}
---
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {zone: x}}
status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: shop, labels: {app: a}}
spec: {nodeName: n1, containers: [{name: m, ports: [{name: http, containerPort: 8080}]}]}
status: {phase: Running, podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: b, namespace: shop, labels: {app: b}}
spec: {nodeName: n1, containers: [{name: m, ports: [{name: http, containerPort: 8080}]}]}
status: {phase: Running, podIPs: [{ip: 10.0.0.2}]}
---
apiVersion: v1
kind: Service
metadata: {name: b, namespace: shop}
spec: {clusterIP: 10.96.0.1, selector: {app: b}, ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: shop}
spec:
  policyTypes: [Ingress, Egress]
  ingress:
  - from: [{podSelector: {matchLabels: {app: a}}}, {namespaceSelector: {matchLabels: {team: shop}}}]
    ports: [{port: http}, {port: 1, endPort: 99}]
  - from: [{ipBlock: {cidr: 8.0.0.0/8, except: [8.8.0.0/16]}}]
  egress:
  - to: [{ipBlock: {cidr: 10.96.0.0/12}}, {podSelector: {matchLabels: {app: b}}}]
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: c}
spec:
  tier: Admin
  priority: 1
  subject: {namespaces: {}}
  egress:
  - {action: Deny, to: [{networks: [169.254.0.0/16]}, {nodes: {matchLabels: {zone: 'y'}}}]}
  - {action: Pass, to: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {number: 8080}}}]}
---
apiVersion: policy.networking.k8s.io/v1alpha1
kind: BaselineAdminNetworkPolicy
metadata: {name: default}
spec:
  subject: {namespaces: {}}
  ingress: [{action: Deny, from: [{namespaces: {}}]}]
"#;

/// Everything that a verdict has to tell, but for what is made to be kept.
fn ask(engine: &Engine, query: &Query<'_>) -> usize {
    let verdict = engine.evaluate(query);
    let reasons: usize = verdict
        .directions()
        .into_iter()
        .map(|side| side.isolating().len() + side.allowing().count() + side.rejecting().count())
        .sum();
    reasons
        + usize::from(verdict.allowed())
        + usize::from(verdict.defined())
        + verdict.caveats().iter().count()
}

#[test]
fn evaluation_allocates_nothing() {
    let manifests = manifests::parse("test.yaml", CLUSTER);
    assert!(manifests.errors.is_empty(), "{:?}", manifests.errors);
    let engine = Engine::compile(&manifests.snapshot());
    let snapshot = engine.snapshot();
    let (a, b) = (snapshot.pod("shop/a").expect("a"), snapshot.pod("shop/b").expect("b"));
    let ip = |text: &str| ConnectionPeer::Ip(text.parse().expect("an address"));
    let ends = [
        ConnectionPeer::Pod(a),
        ConnectionPeer::Pod(b),
        ConnectionPeer::PodAt(a, a.ips[0]),
        ip("8.8.8.8"),
        ip("192.168.0.1"),
        ip("fd00::1"),
        ip("169.254.169.254"),
    ];
    let addresses = engine.service_addresses(ConnectionPeer::Pod(b));
    let mut told = 0;
    let counted = allocation_counter::measure(|| {
        for source in ends {
            for destination in ends {
                for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Icmp] {
                    for (port, via_service) in [(8080, None), (80, Some(&addresses[..]))] {
                        told += ask(&engine, &Query { source, destination, protocol, port, via_service });
                    }
                }
            }
        }
    });
    assert!(told > 500, "the queries reach the policies: {told}");
    assert_eq!((counted.count_total, counted.bytes_total), (0, 0));
}

#[test]
fn ten_thousand_policies_load_with_an_error_for_each_bad_one() {
    let mut text = String::new();
    for i in 0..10_000 {
        let spec = match i % 10 {
            3 => "{ingress: [{from: [{}]}]}",
            5 => "{ingress: [{ports: [{port: 0}]}]}",
            7 => "{podSelector: {matchLabels: {app: 1}}}",
            9 => "{podSelector: {matchLabels: [app}}",
            _ => {
                "{podSelector: {matchLabels: {app: a}}, ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}]}"
            }
        };
        let _ = write!(
            text,
            "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: p{i}\n  namespace: ns{}\nspec: {spec}\n",
            i % 100
        );
    }
    let manifests = manifests::parse("all.yaml", &text);
    assert_eq!((manifests.objects.len(), manifests.errors.len()), (6_000, 4_000));
    for (error, i) in manifests.errors.iter().zip([3, 5, 7, 9].into_iter().cycle()) {
        // Seven lines a document, the spec on the last of them.
        assert_eq!((error.line - 7) % 70, i * 7, "{error}");
    }
    let engine = Engine::compile(&manifests.snapshot());
    assert_eq!(engine.snapshot().network_policies().count(), 6_000);
}
