//! Who takes part in the story: pods on each node, the nodes, and a host outside of the cluster.

use std::{fmt, fmt::Write as _, net::IpAddr, thread, time::Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::sniffer::Sniffers;
use crate::{
    cluster::{BUSYBOX, Cluster},
    netns::{Namespace, Server},
    wait::PATIENCE,
};

/// The objects that are the same on each cluster.
const WORKLOADS: &str = include_str!("workloads.yaml");

/// A port with a server, which the policies let some talk to.
pub(super) const SERVED: u16 = 8080;
/// A port with a server, which no policy lets anybody talk to.
pub(super) const PRIVATE: u16 = 8081;
/// A port without a server, which the policies let some talk to.
pub(super) const CLOSED: u16 = 8082;

/// What a pod does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Role {
    /// A server of the shop.
    Web,
    /// A client of the shop's.
    Front,
    /// A pod of the shop that may do nothing.
    Other,
    /// A pod in the namespace without policies.
    Plain,
}

impl Role {
    pub(super) const ALL: [Self; 4] = [Self::Web, Self::Front, Self::Other, Self::Plain];

    fn app(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Front => "front",
            Self::Other => "other",
            Self::Plain => "plain",
        }
    }

    fn namespace(self) -> &'static str {
        if self.is_isolated() { "shop" } else { "open" }
    }

    /// Returns true if policies isolate it, in both directions.
    pub(super) fn is_isolated(self) -> bool {
        self != Self::Plain
    }
}

/// A member of the cast. Nodes have their places in the cluster, from 1 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Player {
    Pod(Role, usize),
    Node(usize),
    Outside,
}

impl Player {
    /// The node that it is on, or that it is.
    pub(super) fn node(self) -> Option<usize> {
        match self {
            Self::Pod(_, node) | Self::Node(node) => Some(node),
            Self::Outside => None,
        }
    }
}

impl fmt::Display for Player {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(role, node) => write!(formatter, "{}-{node}", role.app()),
            Self::Node(node) => write!(formatter, "node{node}"),
            Self::Outside => formatter.write_str("outside"),
        }
    }
}

/// A member with its addresses, of IPv4 and IPv6.
pub(super) struct Actor {
    pub(super) member: Player,
    pub(super) addresses: [IpAddr; 2],
    pub(super) namespace: Namespace,
    /// They answer as long as this exists.
    _servers: Vec<Server>,
}

/// A Service with its cluster IPs.
pub(super) struct ClusterService {
    pub(super) addresses: [IpAddr; 2],
    /// The port on each node, if it has one.
    pub(super) node_port: Option<u16>,
    pub(super) backends: Vec<Player>,
}

/// All who take part.
pub(super) struct Cast {
    pub(super) actors: Vec<Actor>,
    pub(super) services: Vec<ClusterService>,
    pub(super) nodes: usize,
}

impl Cast {
    /// Makes the pods and policies, and waits until all pods run and serve.
    pub(super) fn enter(cluster: &Cluster) -> Result<Self> {
        let nodes = cluster.nodes().len();
        let [outside4, outside6] = cluster.outside_addresses().map(|address| address.to_string());
        let mut manifest = WORKLOADS.replace("OUTSIDE4", &outside4).replace("OUTSIDE6", &outside6);
        let members = Role::ALL.into_iter().flat_map(|role| (1..=nodes).map(move |node| (role, node)));
        let members: Vec<_> = members.collect();
        for (role, node) in &members {
            pod_manifest(&mut manifest, *role, *node)?;
        }
        await_accounts(cluster, || cluster.apply(&manifest))?;
        for namespace in ["shop", "open"] {
            let ready = ["--for=condition=Ready", "--timeout=180s"];
            cluster.kubectl(&[&["wait", "--namespace", namespace, "pods", "--all"], &ready[..]].concat())?;
        }
        let mut actors = Vec::new();
        for (role, node) in members {
            actors.push(Actor::pod(cluster, role, node)?);
        }
        for (index, node) in cluster.nodes().iter().enumerate() {
            let (member, namespace) = (Player::Node(index + 1), node.network()?);
            actors.push(Actor { member, addresses: node.addresses(), namespace, _servers: Vec::new() });
        }
        let path = cluster.outside().path();
        let outside = Namespace::open(&path)?;
        let servers = servers(&outside)?;
        let addresses = cluster.outside_addresses();
        actors.push(Actor { member: Player::Outside, addresses, namespace: outside, _servers: servers });
        let services = ["web", "plain", "solo"].map(|name| ClusterService::of(cluster, name, nodes));
        let services = services.into_iter().collect::<Result<_>>()?;
        Ok(Self { actors, services, nodes })
    }

    /// Begins to sniff in the namespaces of all.
    pub(super) fn sniff(&self) -> Result<Sniffers> {
        Sniffers::start(self.actors.iter().map(|actor| (actor.member, &actor.namespace)))
    }
}

impl Actor {
    fn pod(cluster: &Cluster, role: Role, node: usize) -> Result<Self> {
        let member = Player::Pod(role, node);
        let (name, space) = (member.to_string(), role.namespace());
        let object = get(cluster, &["pod", "--namespace", space, &name])?;
        let addresses = addresses(&object, "/status/podIPs", Some("ip"))
            .with_context(|| format!("pod {name} has not two addresses"))?;
        let namespace = cluster.pod(space, &name)?;
        let _servers = servers(&namespace)?;
        Ok(Self { member, addresses, namespace, _servers })
    }
}

impl ClusterService {
    fn of(cluster: &Cluster, name: &str, nodes: usize) -> Result<Self> {
        let space = if name == "web" { "shop" } else { "open" };
        let object = get(cluster, &["service", "--namespace", space, name])?;
        let addresses = addresses(&object, "/spec/clusterIPs", None)
            .with_context(|| format!("Service {name} has not two addresses"))?;
        let node_port = object.pointer("/spec/ports/0/nodePort").and_then(Value::as_u64);
        let backends = match name {
            "web" => (1..=nodes).map(|node| Player::Pod(Role::Web, node)).collect(),
            "plain" => (1..=nodes).map(|node| Player::Pod(Role::Plain, node)).collect(),
            _ => vec![Player::Pod(Role::Plain, 1)],
        };
        let node_port = node_port.and_then(|port| port.try_into().ok());
        Ok(Self { addresses, node_port, backends })
    }
}

fn get(cluster: &Cluster, what: &[&str]) -> Result<Value> {
    let text = cluster.kubectl(&[&["get", "--output=json"], what].concat())?;
    serde_json::from_str(&text).with_context(|| format!("what kubectl says of {what:?}"))
}

/// The addresses of both families in a list, IPv4 first.
fn addresses(object: &Value, list: &str, field: Option<&str>) -> Option<[IpAddr; 2]> {
    let list = object.pointer(list)?.as_array()?;
    let texts = list.iter().filter_map(|item| field.map_or(item, |field| &item[field]).as_str());
    let mut addresses: Vec<IpAddr> = texts.filter_map(|text| text.parse().ok()).collect();
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses.try_into().ok().filter(|[first, second]: &[IpAddr; 2]| first.is_ipv4() && second.is_ipv6())
}

/// Servers for TCP and UDP on the ports that are served.
fn servers(namespace: &Namespace) -> Result<Vec<Server>> {
    let mut servers = Vec::new();
    for port in [SERVED, PRIVATE] {
        servers.push(Server::tcp(namespace, port)?);
        servers.push(Server::udp(namespace, port)?);
    }
    Ok(servers)
}

fn pod_manifest(manifest: &mut String, role: Role, node: usize) -> Result<()> {
    let (app, space) = (role.app(), role.namespace());
    writeln!(
        manifest,
        "---\napiVersion: v1\nkind: Pod\n\
         metadata: {{name: {app}-{node}, namespace: {space}, labels: {{app: {app}, name: {app}-{node}}}}}\n\
         spec:\n  nodeName: node{node}\n  terminationGracePeriodSeconds: 1\n  \
         containers: [{{name: main, image: '{BUSYBOX}'}}]"
    )
    .context("writing a manifest")
}

/// Applies objects. Pods of new namespaces are rejected before these have their ServiceAccounts.
fn await_accounts(cluster: &Cluster, apply: impl Fn() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    while let Err(error) = apply() {
        let failed = cluster.failures()?;
        ensure!(failed.is_empty(), "{}", failed.concat());
        ensure!(start.elapsed() < PATIENCE, "making the story's pods: {error:#}");
        thread::sleep(std::time::Duration::from_millis(200));
    }
    Ok(())
}
