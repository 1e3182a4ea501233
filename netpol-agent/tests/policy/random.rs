//! Random clusters, policies and connections, from a small world so that they have to do with one another.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;
use netpol_agent::{
    cluster::Object,
    model::{
        ClusterPolicy, ContainerPort, LabelSelector, Labels, Namespace, NetworkPolicy, Node, Pod, PodClass,
        PodPhase, PolicyKind, PolicyRef, Protocol, Requirement, Service, Values,
        cluster_policy::{Action, PodSet, Tier, TierPeer, TierPort, TierRule},
        network_policy::{IpBlock, Peer, PolicyTypes, Port, PortNumber, Rule},
        object::{Exposure, NamespaceOrigin},
    },
};

/// A stream of numbers that a seed determines (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap() % n
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Up to `most` of what `make` makes; seldom many.
    fn some<T>(&mut self, most: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let n = self.below(most + 1);
        (0..n).map(|_| make(self)).collect()
    }
}

const NAMESPACES: [&str; 4] = ["red", "blue", "green", "grey"];
const KEYS: [&str; 3] = ["app", "tier", "env"];
const VALUES: [&str; 4] = ["", "a", "b", "c"];
const PORT_NAMES: [&str; 3] = ["http", "dns", "web"];
const PORTS: [u16; 6] = [53, 80, 443, 8080, 8443, 65535];
const NODES: [&str; 3] = ["n0", "n1", "n2"];
const NETS: [&str; 12] = [
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.0.0.0/24",
    "10.0.0.0/28",
    "10.0.0.4/30",
    "10.0.0.5/32",
    "192.168.0.0/24",
    "8.8.0.0/16",
    "::/0",
    "fd00::/64",
    "fd00::4/126",
    "10.96.0.0/12",
];

/// A cluster of up to this many pods and policies.
pub(crate) fn cluster(random: &mut Random) -> Vec<Object> {
    let mut objects = Vec::new();
    for i in 0..4 {
        if random.chance(80) {
            objects.push(namespace(random, i));
        }
    }
    objects.extend((0..3).map(|i| node(random, i)));
    objects.extend(random.some(2, |_| ()).iter().enumerate().map(|(i, ())| service(random, i)));
    let pods = 2 + random.below(10);
    objects.extend((0..pods).map(|i| pod(random, i)));
    let policies = random.below(8);
    objects.extend((0..policies).map(|i| policy(random, i)));
    let cluster_policies = if random.chance(60) { random.below(6) } else { 0 };
    objects.extend((0..cluster_policies).map(|i| cluster_policy(random, i)));
    objects
}

/// Some object that may be new, or replace one of the cluster.
pub(crate) fn object(random: &mut Random) -> Object {
    match random.below(12) {
        0 | 1 => {
            let i = random.below(4);
            namespace(random, i)
        }
        2 => {
            let i = random.below(3);
            node(random, i)
        }
        3 => {
            let i = random.below(2);
            service(random, i)
        }
        4..=6 => {
            let i = random.below(12);
            pod(random, i)
        }
        7..=9 => {
            let i = random.below(8);
            policy(random, i)
        }
        _ => {
            let i = random.below(6);
            cluster_policy(random, i)
        }
    }
}

fn labels(random: &mut Random) -> Labels {
    let pairs = random.some(3, |random| (*random.pick(&KEYS), *random.pick(&VALUES)));
    pairs.into_iter().collect()
}

fn namespace(random: &mut Random, i: usize) -> Object {
    Object::Namespace(Arc::new(Namespace::new(
        NAMESPACES[i].into(),
        &labels(random),
        NamespaceOrigin::Declared,
    )))
}

fn node(random: &mut Random, i: usize) -> Object {
    let ips = [format!("192.168.0.{i}").parse().unwrap()].into();
    Object::Node(Arc::new(Node {
        name: NODES[i].into(),
        labels: labels(random),
        ips,
        pod_cidrs: Box::default(),
    }))
}

fn service(random: &mut Random, i: usize) -> Object {
    let namespace: Arc<str> = (*random.pick(&NAMESPACES)).into();
    Object::Service(Arc::new(Service {
        key: format!("{namespace}/s{i}").into(),
        namespace,
        ips: [format!("10.96.0.{i}").parse().unwrap()].into(),
        cluster_ips: [format!("10.96.0.{i}").parse().unwrap()].into(),
        is_choosy: false,
        exposure: Exposure::Inside,
        is_headless: false,
        selector: random.chance(70).then(|| labels(random)),
        ports: Box::default(),
    }))
}

fn pod(random: &mut Random, i: usize) -> Object {
    let namespace: Arc<str> = NAMESPACES[i % NAMESPACES.len()].into();
    let host_network = random.chance(10);
    let node = random.below(NODES.len());
    let mut ips: Vec<IpAddr> = Vec::new();
    if host_network {
        ips.push(format!("192.168.0.{node}").parse().unwrap());
    } else {
        // Now and then an address that another pod may have as well.
        let last = if random.chance(10) { random.below(12) } else { i };
        if random.chance(90) {
            ips.push(format!("10.0.0.{last}").parse().unwrap());
        }
        if random.chance(30) {
            ips.push(format!("fd00::{last:x}").parse().unwrap());
        }
    }
    let mut ports = random.some(3, |random| ContainerPort {
        port: *random.pick(&PORTS),
        protocol: protocol(random),
        name: random.chance(70).then(|| (*random.pick(&PORT_NAMES)).into()),
    });
    ports.sort();
    let phases = [PodPhase::Succeeded, PodPhase::Failed, PodPhase::Pending, PodPhase::Declared];
    let phase = if random.chance(15) { *random.pick(&phases) } else { PodPhase::Running };
    Object::Pod(Arc::new(Pod {
        key: format!("{namespace}/p{i}").into(),
        uid: "".into(),
        class: Arc::new(PodClass::new(namespace, labels(random), ports.into())),
        ips: ips.into(),
        host_network,
        node: random.chance(90).then(|| NODES[node].into()),
        phase,
        workload: None,
        created: random
            .chance(50)
            .then(|| jiff::Timestamp::from_second(i64::try_from(random.below(9)).unwrap()).unwrap()),
        is_ending: false,
    }))
}

fn protocol(random: &mut Random) -> Protocol {
    *random.pick(&[Protocol::Tcp, Protocol::Tcp, Protocol::Udp, Protocol::Sctp])
}

fn selector(random: &mut Random) -> LabelSelector {
    if random.chance(30) {
        return LabelSelector::default();
    }
    let requirements = random.some(2, |random| {
        let values = |random: &mut Random| {
            let n = 1 + random.below(2);
            let mut values: Vec<Box<str>> = (0..n).map(|_| (*random.pick(&VALUES)).into()).collect();
            values.sort();
            values.dedup();
            values.into()
        };
        let key = *random.pick(&KEYS);
        let values = match random.below(8) {
            0..=2 => return Requirement::equals(key, random.pick::<&str>(&VALUES)),
            3 | 4 => Values::In(values(random)),
            5 => Values::NotIn(values(random)),
            6 => Values::Exists,
            _ => Values::DoesNotExist,
        };
        Requirement { key: key.into(), values }
    });
    LabelSelector::new(requirements)
}

fn namespaces(random: &mut Random) -> LabelSelector {
    if random.chance(30) {
        return LabelSelector::from_labels(&[(Namespace::NAME_LABEL, random.pick::<&str>(&NAMESPACES))]);
    }
    selector(random)
}

fn net(random: &mut Random) -> IpNet {
    random.pick(&NETS).parse().unwrap()
}

fn block(random: &mut Random) -> IpBlock {
    let cidr = net(random);
    let except = random.some(2, net);
    let inside = |hole: &IpNet| cidr.contains(hole) && cidr.prefix_len() < hole.prefix_len();
    IpBlock { cidr, except: except.into_iter().filter(inside).collect() }
}

fn port(random: &mut Random) -> Port {
    let first = *random.pick(&PORTS);
    let number = match random.below(4) {
        0 => PortNumber::Any,
        1 => PortNumber::Range(first, first.saturating_add(400)),
        2 => PortNumber::Named((*random.pick(&PORT_NAMES)).into()),
        _ => PortNumber::Range(first, first),
    };
    Port { protocol: protocol(random), number }
}

fn policy(random: &mut Random, i: usize) -> Object {
    let namespace: Arc<str> = NAMESPACES[i % NAMESPACES.len()].into();
    let rule = |random: &mut Random| Rule {
        peers: random.some(3, |random| {
            if random.chance(30) {
                return Peer::Block(block(random));
            }
            Peer::Pods { namespaces: random.chance(50).then(|| namespaces(random)), pods: selector(random) }
        }),
        ports: random.some(2, port),
    };
    let ingress = random.chance(75).then(|| random.some(3, rule));
    let egress = random.chance(50).then(|| random.some(3, rule));
    Object::NetworkPolicy(Arc::new(NetworkPolicy {
        id: NetworkPolicy::reference(namespace.clone(), format!("np{i}").into()),
        namespace,
        pods: selector(random),
        ingress,
        egress,
        types: PolicyTypes::Written,
    }))
}

fn cluster_policy(random: &mut Random, i: usize) -> Object {
    let kinds = [
        (PolicyKind::ClusterNetworkPolicy, Tier::Admin, Action::Accept),
        (PolicyKind::ClusterNetworkPolicy, Tier::Baseline, Action::Accept),
        (PolicyKind::AdminNetworkPolicy, Tier::Admin, Action::Allow),
        (PolicyKind::BaselineAdminNetworkPolicy, Tier::Baseline, Action::Allow),
    ];
    let (kind, tier, accept) = *random.pick(&kinds);
    let set = |random: &mut Random| PodSet { namespaces: namespaces(random), pods: selector(random) };
    let rules = |egress: bool, random: &mut Random| {
        random.some(4, |random| {
            let action = *random.pick(&[accept, Action::Deny, Action::Deny, Action::Pass]);
            let mut peers = random.some(1, |random| tier_peer(random, egress, action == accept, set));
            peers.push(tier_peer(random, egress, action == accept, set));
            let ports = random.chance(50).then(|| {
                let mut ports = random.some(1, tier_port);
                ports.push(tier_port(random));
                ports
            });
            TierRule { name: None, action, peers, ports }
        })
    };
    Object::ClusterPolicy(Arc::new(ClusterPolicy {
        id: PolicyRef { kind, namespace: None, name: format!("cp{i}").into() },
        tier,
        priority: u16::try_from(random.below(4)).unwrap(),
        subject: set(random),
        ingress: rules(false, random),
        egress: rules(true, random),
    }))
}

fn tier_peer(
    random: &mut Random,
    egress: bool,
    accepts: bool,
    set: impl Fn(&mut Random) -> PodSet,
) -> TierPeer {
    match random.below(20) {
        0..=3 if egress => TierPeer::Networks(vec![net(random), net(random)]),
        4 | 5 if egress => TierPeer::Nodes(selector(random)),
        6 if egress && accepts => TierPeer::DomainNames(vec!["*.example.com".into()]),
        7 => TierPeer::Unknown,
        8 => TierPeer::Pods(PodSet { namespaces: namespaces(random), pods: LabelSelector::default() }),
        _ => TierPeer::Pods(set(random)),
    }
}

fn tier_port(random: &mut Random) -> TierPort {
    if random.chance(20) {
        return TierPort::Named((*random.pick(&PORT_NAMES)).into());
    }
    let Port { protocol, number } = port(random);
    match number {
        PortNumber::Named(name) => TierPort::Named(name),
        number => TierPort::Port(Port { protocol, number }),
    }
}
