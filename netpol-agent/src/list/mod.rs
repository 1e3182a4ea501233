//! Every connection that policies permit, workload to workload and with the outside, and on which ports.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};

use serde::Serialize;

use crate::{
    cluster::{Index, Object},
    declared::{AddressRange, DeclaredState, PortAnswer, outside, permitted_ports},
    matrix,
    model::{Labels, Pod, PodClass},
    policy::{ConnectionPeer, Engine, group_pods},
};

/// The namespace of pods that stand for those of namespaces that are not known. No namespace can have this name.
const UNKNOWN_NAMESPACE: &str = "*";

/// The name of pods that stand for those that are not known. No pod can have this name.
const UNKNOWN_POD: &str = "*";

/// A connection that is permitted, on some ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PermittedConnection {
    /// Who opens it: a workload, a range of addresses outside of the cluster, or pods that are not known.
    pub from: Arc<str>,
    /// Who answers.
    pub to: Arc<str>,
    /// The ports, by protocol, in order.
    pub ports: Vec<PortAnswer>,
}

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// Only connections from or to workloads of this namespace.
    pub namespace: Option<String>,
    /// Only connections from or to this workload or pod, `namespace/name`.
    pub focus: Option<String>,
    /// Also connections with pods that are not known: any pod of a workload's own namespace, and of any other namespace.
    pub exposure: bool,
}

/// Every connection that is permitted.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectionList {
    /// By who opens them, then by who answers.
    pub connections: Vec<PermittedConnection>,
    /// The pods that each workload's name stands for here, `namespace/name`.
    pub pods: BTreeMap<Arc<str>, Vec<Arc<str>>>,
}

/// Pods that no policy tells apart, or others that are judged alike.
struct ListedEndpoint<'a> {
    name: Arc<str>,
    peer: ConnectionPeer<'a>,
    /// Another one of them: what they may do among themselves is about two.
    other: Option<ConnectionPeer<'a>>,
    kind: EndpointKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum EndpointKind {
    /// Pods that are known; whether they are among those that are asked for.
    Workload(bool),
    Outside(AddressRange),
    Unknown,
}

impl ConnectionList {
    /// All that is permitted.
    #[must_use]
    pub fn new(state: &DeclaredState, options: &ListOptions) -> Self {
        let ListOptions { namespace, focus, exposure } = options;
        let unknown = if *exposure { unknown_pods(state) } else { Vec::new() };
        let engine = with_pods(state, &unknown);
        let snapshot = engine.snapshot();
        let known = snapshot.pods().filter(|pod| !is_unknown(pod)).cloned();
        let groups = group_pods(&engine, known);
        let is_asked = |pods: &[Arc<Pod>]| {
            pods.iter().any(|pod| {
                namespace.as_ref().is_none_or(|namespace| **pod.namespace() == **namespace)
                    && focus
                        .as_ref()
                        .is_none_or(|focus| *pod.key == **focus || matrix::workload(pod) == *focus)
            })
        };
        let names: Vec<Arc<str>> = matrix::names(&groups).into_iter().map(Arc::from).collect();
        let keys = groups.iter().map(|pods| pods.iter().map(|pod| pod.key.clone()).collect());
        let pods = names.iter().cloned().zip(keys).collect();
        let mut endpoints: Vec<ListedEndpoint<'_>> = groups
            .iter()
            .zip(&names)
            .filter_map(|(pods, name)| {
                let (peer, other) =
                    (pods.first().map(ConnectionPeer::Pod)?, pods.get(1).map(ConnectionPeer::Pod));
                Some(ListedEndpoint {
                    name: name.clone(),
                    peer,
                    other,
                    kind: EndpointKind::Workload(is_asked(pods)),
                })
            })
            .collect();
        endpoints.extend(outside(snapshot).into_iter().map(|(range, ip)| of_range(range, ip)));
        let mut made_up: Vec<&Arc<Pod>> = snapshot.pods().filter(|pod| is_unknown(pod)).collect();
        made_up.sort_by(|a, b| a.key.cmp(&b.key));
        endpoints.extend(made_up.into_iter().map(of_unknown));
        Self { connections: permitted(&engine, &endpoints), pods }
    }
}

fn of_range<'a>(range: AddressRange, ip: IpAddr) -> ListedEndpoint<'a> {
    let (peer, kind) = (ConnectionPeer::Ip(ip), EndpointKind::Outside(range));
    ListedEndpoint { name: range.text().into(), peer, other: None, kind }
}

fn of_unknown(pod: &Arc<Pod>) -> ListedEndpoint<'_> {
    let name = match &**pod.namespace() {
        UNKNOWN_NAMESPACE => "any pod of any other namespace".to_owned(),
        namespace => format!("any other pod of namespace {namespace}"),
    };
    ListedEndpoint {
        name: name.into(),
        peer: ConnectionPeer::Pod(pod),
        other: None,
        kind: EndpointKind::Unknown,
    }
}

/// A pod without labels in each namespace, and in one that has no labels but its name.
fn unknown_pods(state: &DeclaredState) -> Vec<Arc<Pod>> {
    let namespaces = state.snapshot().namespaces().map(|namespace| namespace.name.clone());
    let all = namespaces.chain([Arc::from(UNKNOWN_NAMESPACE)]);
    let pod = |namespace: Arc<str>| {
        let key = format!("{namespace}/{UNKNOWN_POD}");
        let class = PodClass::new(namespace, Labels::from_iter::<[(&str, &str); 0]>([]), Box::default());
        Arc::new(Pod::declared(key, class))
    };
    all.map(pod).collect()
}

fn is_unknown(pod: &Pod) -> bool {
    pod.name() == UNKNOWN_POD
}

fn with_pods(state: &DeclaredState, pods: &[Arc<Pod>]) -> Arc<Engine> {
    if pods.is_empty() {
        return state.engine.clone();
    }
    let mut index = Index::new();
    index.sync(state.manifests.objects.iter().cloned().chain(pods.iter().cloned().map(Object::Pod)));
    Engine::compile(&index.publish())
}

fn permitted(engine: &Engine, endpoints: &[ListedEndpoint<'_>]) -> Vec<PermittedConnection> {
    let mut connections = Vec::new();
    for from in endpoints {
        let mut of_from: Vec<(PermittedConnection, Option<AddressRange>)> = Vec::new();
        for to in endpoints {
            let is_listed = match (from.kind, to.kind) {
                (EndpointKind::Workload(from), EndpointKind::Workload(to)) => from || to,
                (EndpointKind::Workload(asked), _) | (_, EndpointKind::Workload(asked)) => asked,
                _ => false,
            };
            let is_same = Arc::ptr_eq(&from.name, &to.name);
            let destination = if is_same { to.other } else { Some(to.peer) };
            let Some(destination) = destination.filter(|_| is_listed) else { continue };
            let ports = permitted_ports(engine, from.peer, destination);
            let range = match to.kind {
                EndpointKind::Outside(range) => Some(range),
                EndpointKind::Workload(_) | EndpointKind::Unknown => None,
            };
            let connection = PermittedConnection { from: from.name.clone(), to: to.name.clone(), ports };
            push_joined(&mut of_from, connection, range);
        }
        connections
            .push((from.kind, of_from.into_iter().map(|(connection, _)| connection).collect::<Vec<_>>()));
    }
    joined_sources(connections).into_iter().filter(|connection| !connection.ports.is_empty()).collect()
}

/// Adds a connection, or extends the one before it, where its range of addresses follows that one's.
fn push_joined(
    connections: &mut Vec<(PermittedConnection, Option<AddressRange>)>,
    next: PermittedConnection,
    range: Option<AddressRange>,
) {
    if let Some((last, last_range)) = connections.last_mut()
        && last.ports == next.ports
        && let Some(joined) = last_range.zip(range).and_then(|(before, next)| before.joined(next))
    {
        last.to = joined.text().into();
        *last_range = Some(joined);
        return;
    }
    connections.push((next, range));
}

/// Ranges of addresses that lie next to one another, and reach the same workload on the same ports, are one.
fn joined_sources(by_source: Vec<(EndpointKind, Vec<PermittedConnection>)>) -> Vec<PermittedConnection> {
    let mut joined: Vec<PermittedConnection> = Vec::new();
    // The last connection of a range to each workload.
    let mut last: HashMap<Arc<str>, (usize, AddressRange)> = HashMap::new();
    for (kind, connections) in by_source {
        let EndpointKind::Outside(range) = kind else {
            joined.extend(connections);
            continue;
        };
        for connection in connections {
            let before = last.get(&connection.to).and_then(|(at, before)| Some((*at, before.joined(range)?)));
            let extended = before.and_then(|(at, both)| {
                let known = joined.get_mut(at).filter(|known| known.ports == connection.ports)?;
                known.from = both.text().into();
                Some((at, both))
            });
            let place = extended.unwrap_or((joined.len(), range));
            last.insert(connection.to.clone(), place);
            if extended.is_none() {
                joined.push(connection);
            }
        }
    }
    joined
}
