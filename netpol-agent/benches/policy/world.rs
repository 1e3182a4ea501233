//! A cluster as large as real ones: namespaces of teams, each with a few deployments and the usual policies.

use std::sync::Arc;

use netpol_agent::{
    cluster::Object,
    model::{
        ContainerPort, LabelSelector, Labels, Namespace, NetworkPolicy, Pod, PodClass, PodPhase, Protocol,
        network_policy::{IpBlock, Peer, PolicyTypes, Port, PortNumber, Rule},
        object::NamespaceOrigin,
    },
};

const APPS: [&str; 4] = ["web", "api", "db", "cache"];

/// How large a cluster is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) namespaces: usize,
    pub(crate) pods: usize,
    pub(crate) policies: usize,
}

/// All objects of a cluster, made one by one.
pub(crate) fn objects(size: Size) -> impl Iterator<Item = Object> {
    let namespace = |i: usize| {
        let labels = [("team", format!("t{}", i % 50)), ("env", ["prod", "stage"][i % 2].to_owned())];
        let labels: Labels = labels.into_iter().collect();
        Object::Namespace(Arc::new(Namespace::new(name(i), &labels, NamespaceOrigin::Declared)))
    };
    let pods = (0..size.pods).map(move |i| Object::Pod(Arc::new(pod(size, i, "v1"))));
    let policies = (0..size.policies).map(move |i| Object::NetworkPolicy(Arc::new(policy(size, i))));
    (0..size.namespaces).map(namespace).chain(pods).chain(policies)
}

fn name(namespace: usize) -> Arc<str> {
    format!("team-{namespace}").into()
}

/// One of the pods, with a version label.
pub(crate) fn pod(size: Size, i: usize, version: &str) -> Pod {
    let namespace = name(i % size.namespaces);
    let nth = i / size.namespaces;
    let app = APPS[nth % APPS.len()];
    let mut labels = vec![
        ("app", app.to_owned()),
        ("app.kubernetes.io/part-of", "shop".to_owned()),
        ("pod-template-hash", format!("{app}5d8f")),
        ("version", version.to_owned()),
    ];
    if app == "db" {
        labels.push(("statefulset.kubernetes.io/pod-name", format!("db-{nth}")));
    }
    let port = |port, name: &str| ContainerPort { port, protocol: Protocol::Tcp, name: Some(name.into()) };
    let (high, low) = (u8::try_from(i / 65_536).unwrap_or(0), u16::try_from(i % 65_536).unwrap_or(0));
    let [b, c] = low.to_be_bytes();
    Pod {
        key: format!("{namespace}/{app}-{nth}").into(),
        uid: format!("00000000-0000-0000-0000-{i:012}").into(),
        class: Arc::new(PodClass::new(
            namespace,
            labels.into_iter().collect(),
            [port(8080, "http"), port(9090, "metrics")].into(),
        )),
        ips: [[10, high, b, c].into()].into(),
        host_network: false,
        node: Some(format!("node-{}", i % 500).into()),
        phase: PodPhase::Running,
        workload: None,
        created: None,
        is_ending: false,
    }
}

fn policy(size: Size, i: usize) -> NetworkPolicy {
    let namespace = name(i % size.namespaces);
    let nth = i / size.namespaces;
    let app = |app: &str| LabelSelector::from_labels(&[("app", app)]);
    let named = |name: &str| LabelSelector::from_labels(&[(Namespace::NAME_LABEL, name)]);
    let tcp = |port| Port { protocol: Protocol::Tcp, number: PortNumber::Range(port, port) };
    let same = |name: &str| Peer::Pods { namespaces: None, pods: app(name) };
    let other =
        |namespace: &str, name: &str| Peer::Pods { namespaces: Some(named(namespace)), pods: app(name) };
    let (what, pods, ingress, egress) = match nth % 5 {
        0 => ("default-deny", LabelSelector::default(), Some(vec![]), Some(vec![])),
        1 => {
            let dns = Port { protocol: Protocol::Udp, number: PortNumber::Range(53, 53) };
            let to = Peer::Pods {
                namespaces: Some(named("kube-system")),
                pods: LabelSelector::from_labels(&[("k8s-app", "kube-dns")]),
            };
            let rule = Rule { peers: vec![to], ports: vec![dns, tcp(53)] };
            ("dns", LabelSelector::default(), None, Some(vec![rule]))
        }
        2 => {
            let gateway = format!("team-{}", (i * 7) % size.namespaces);
            let rule = Rule { peers: vec![other(&gateway, "web"), same("web")], ports: vec![tcp(8080)] };
            let out = Rule { peers: vec![same("db"), same("cache")], ports: vec![] };
            ("api", app("api"), Some(vec![rule]), Some(vec![out]))
        }
        3 => {
            let named = Port { protocol: Protocol::Tcp, number: PortNumber::Named("http".into()) };
            let rule = Rule { peers: vec![same("api")], ports: vec![named] };
            ("db", app("db"), Some(vec![rule]), None)
        }
        _ => {
            let hole = format!("169.254.{}.0/24", i % 200);
            let block = IpBlock {
                cidr: "0.0.0.0/0".parse().expect("a range"),
                except: vec![hole.parse().expect("a range"), "10.0.0.0/8".parse().expect("a range")],
            };
            let out = Rule { peers: vec![Peer::Block(block), same("api")], ports: vec![] };
            ("web", app("web"), Some(vec![Rule { peers: vec![], ports: vec![tcp(8080)] }]), Some(vec![out]))
        }
    };
    NetworkPolicy {
        id: NetworkPolicy::reference(namespace.clone(), format!("{what}-{nth}").into()),
        namespace,
        pods,
        ingress,
        egress,
        types: PolicyTypes::Written,
    }
}
