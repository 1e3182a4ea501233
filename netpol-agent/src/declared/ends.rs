//! Whom the ends of a connection stand for.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use thiserror::Error;

use super::{
    EndpointName,
    address_range::{self, AddressRange},
    distance,
};
use crate::{
    cluster::Snapshot,
    model::{
        ContainerPort, Labels, Pod, PodClass, Protocol, Service, SocketAddress,
        object::{Exposure, ServicePort, TargetPort},
    },
    policy::ConnectionPeer,
};

/// A name that stands for nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct UnknownEndpoint(pub(super) String);

/// One of those that an end stands for.
#[derive(Clone, Debug)]
pub(crate) struct NamedPeer<'a> {
    pub(crate) name: String,
    pub(crate) peer: ConnectionPeer<'a>,
    /// Where it stands for a range of addresses, of which `peer` is the first.
    pub(crate) range: Option<AddressRange>,
}

/// Whom an end stands for.
#[derive(Clone, Debug)]
pub(super) enum Ends<'a> {
    /// These, directly.
    Direct(Vec<NamedPeer<'a>>),
    /// Those behind a Service, by way of these addresses of it.
    Service { service: &'a Arc<Service>, addresses: Vec<IpAddr>, entrance: Entrance },
}

/// How a Service is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entrance {
    /// At its own ports.
    Ports,
    /// At its own ports of an address that a load balancer has, or that is an external one.
    External,
    /// At its node ports.
    NodePorts,
}

impl EndpointName {
    /// Whom it means. `at` is the port, where one is given: at some ports, a node's address is a Service's.
    pub(super) fn resolve<'a>(
        &self,
        snapshot: &'a Snapshot,
        at: Option<(Protocol, u16)>,
    ) -> Result<Ends<'a>, UnknownEndpoint> {
        match self {
            Self::Name(name) => Err(UnknownEndpoint(Self::without_namespace(name))),
            Self::Pod(key) => pods_named(key, snapshot).map(Ends::Direct),
            Self::Ip(ip) => Ok(at_address(*ip, snapshot, at)),
            Self::Cidr(range) => Ok(Ends::Direct(of_ranges(address_range::parts(snapshot, range)))),
            Self::World => Ok(Ends::Direct(of_ranges(address_range::world(snapshot)))),
            Self::Node(name) => node(name, snapshot).map(Ends::Direct),
            Self::Service(namespace, name) => service(namespace.as_deref(), name, snapshot),
            Self::Workload(kind, namespace, name) => {
                workload(kind, namespace.as_deref(), name, snapshot).map(Ends::Direct)
            }
            Self::Labels(..) => {
                let pod = snapshot.pod(&self.hypothetical_key()).map(ConnectionPeer::Pod);
                let peer = pod
                    .ok_or_else(|| UnknownEndpoint(format!("{self} needs a namespace: add ns=NAMESPACE")))?;
                Ok(Ends::Direct(vec![NamedPeer { name: self.to_string(), peer, range: None }]))
            }
        }
    }

    fn hypothetical_key(&self) -> String {
        match self {
            Self::Labels(namespace, _) => format!("{}/{self}", namespace.as_deref().unwrap_or_default()),
            _ => String::new(),
        }
    }

    /// The pod that labels stand for. It declares the ports that pods with these labels declare, if there are any.
    pub(super) fn hypothetical_pod(&self, snapshot: &Snapshot) -> Option<Pod> {
        let Self::Labels(Some(namespace), wanted) = self else { return None };
        let labels: Labels = wanted.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let is_like = |pod: &&Arc<Pod>| {
            **pod.namespace() == **namespace
                && labels.iter().all(|(key, value)| pod.labels().get(key) == Some(value))
        };
        let mut ports: Vec<ContainerPort> =
            snapshot.pods().filter(is_like).flat_map(|pod| pod.class.ports.iter().cloned()).collect();
        ports.sort();
        ports.dedup();
        let class = PodClass::new(namespace.as_str().into(), labels, ports.into());
        Some(Pod::declared(self.hypothetical_key(), class))
    }
}

fn of_pod(pod: &Arc<Pod>) -> NamedPeer<'_> {
    NamedPeer { name: pod.key.to_string(), peer: ConnectionPeer::Pod(pod), range: None }
}

fn of_ranges<'a>(ranges: Vec<AddressRange>) -> Vec<NamedPeer<'a>> {
    let peer = |range: AddressRange| NamedPeer {
        name: range.text(),
        peer: ConnectionPeer::Ip(range.first),
        range: Some(range),
    };
    ranges.into_iter().map(peer).collect()
}

/// The pod of this name, or the pods of the workloads of this name.
fn pods_named<'a>(key: &str, snapshot: &'a Snapshot) -> Result<Vec<NamedPeer<'a>>, UnknownEndpoint> {
    if let Some(pod) = snapshot.pod(key) {
        return Ok(vec![of_pod(pod)]);
    }
    let is_of = |pod: &&Arc<Pod>| is_of_workload(pod, None, key) && !pod.is_finished();
    let mut pods: Vec<&Arc<Pod>> = snapshot.pods().filter(is_of).collect();
    pods.sort_by(|a, b| a.key.cmp(&b.key));
    if pods.is_empty() { Err(unknown_pod(key, snapshot)) } else { Ok(pods.into_iter().map(of_pod).collect()) }
}

fn is_of_workload(pod: &Pod, kind: Option<&str>, key: &str) -> bool {
    pod.workload.as_ref().is_some_and(|workload| {
        kind.is_none_or(|kind| *workload.kind == *kind)
            && key.strip_prefix(&**pod.namespace()).and_then(|rest| rest.strip_prefix('/'))
                == Some(&*workload.name)
    })
}

fn workload<'a>(
    kind: &str,
    namespace: Option<&str>,
    name: &str,
    snapshot: &'a Snapshot,
) -> Result<Vec<NamedPeer<'a>>, UnknownEndpoint> {
    let is_it = |pod: &&Arc<Pod>| {
        let workload = pod.workload.as_ref();
        !pod.is_finished()
            && namespace.is_none_or(|namespace| **pod.namespace() == *namespace)
            && workload.is_some_and(|workload| *workload.kind == *kind && *workload.name == *name)
    };
    let mut pods: Vec<&Arc<Pod>> = snapshot.pods().filter(is_it).collect();
    pods.sort_by(|a, b| a.key.cmp(&b.key));
    let (Some(first), Some(last)) = (pods.first(), pods.last()) else {
        // `job/web` may be the pod `web` of a namespace that is called so.
        let word = kind.to_ascii_lowercase();
        if let Some(pod) = namespace.is_none().then(|| snapshot.pod(&format!("{word}/{name}"))).flatten() {
            return Ok(vec![of_pod(pod)]);
        }
        let all = snapshot.pods().filter_map(|pod| Some((pod.namespace(), pod.workload.as_ref()?)));
        let of_kind = all.filter(|(_, workload)| *workload.kind == *kind);
        let names = of_kind.map(|(namespace, workload)| format!("{namespace}/{}", workload.name));
        let wanted = namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"));
        return Err(unknown(&format!("{kind} {wanted:?} with pods"), &wanted, names));
    };
    if first.namespace() != last.namespace() {
        let (a, b) = (first.namespace(), last.namespace());
        return Err(UnknownEndpoint(format!(
            "there is a {kind} {name:?} in namespaces {a} and {b}: say which (-n)"
        )));
    }
    Ok(pods.into_iter().map(of_pod).collect())
}

fn node<'a>(name: &str, snapshot: &'a Snapshot) -> Result<Vec<NamedPeer<'a>>, UnknownEndpoint> {
    let Some(node) = snapshot.node(name) else {
        let names = snapshot.nodes().map(|node| node.name.to_string());
        return Err(unknown(&format!("node {name:?}"), name, names));
    };
    match node.ips.first() {
        Some(ip) => Ok(vec![NamedPeer {
            name: format!("Node {name}"),
            peer: ConnectionPeer::NodeAt(node, *ip),
            range: None,
        }]),
        None => Err(UnknownEndpoint(format!("node {name:?} has no address (status.addresses)"))),
    }
}

fn service<'a>(
    namespace: Option<&str>,
    name: &str,
    snapshot: &'a Snapshot,
) -> Result<Ends<'a>, UnknownEndpoint> {
    let is_it = |service: &&Arc<Service>| {
        let own = service.key.split_once('/').map_or(&*service.key, |(_, name)| name);
        own == name && namespace.is_none_or(|namespace| *service.namespace == *namespace)
    };
    let mut found = snapshot.services().filter(is_it);
    let Some(service) = found.next() else {
        let wanted = namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"));
        let names = snapshot.services().map(|service| service.key.to_string());
        return Err(unknown(&format!("Service {wanted:?}"), &wanted, names));
    };
    if let Some(other) = found.next() {
        let text = format!("there are Services {} and {}: say which (-n)", service.key, other.key);
        return Err(UnknownEndpoint(text));
    }
    if service.is_headless {
        let pods = members(snapshot, service);
        if pods.is_empty() {
            return Err(without_pods(service));
        }
        return Ok(Ends::Direct(pods));
    }
    Ok(Ends::Service { service, addresses: service.cluster_ips.to_vec(), entrance: Entrance::Ports })
}

fn at_address(ip: IpAddr, snapshot: &Snapshot, at: Option<(Protocol, u16)>) -> Ends<'_> {
    let ip = ip.to_canonical();
    let direct = NamedPeer { name: ip.to_string(), peer: ConnectionPeer::Ip(ip), range: None };
    if snapshot.pod_by_ip(ip).is_some() {
        return Ends::Direct(vec![direct]);
    }
    let on_node = at.filter(|_| snapshot.node_by_ip(ip).is_some()).and_then(|(protocol, port)| {
        let (service, found) = snapshot.service_at(protocol, SocketAddress { address: ip, port })?;
        found.is_some_and(|found| found.node_port == Some(port)).then_some(service)
    });
    if let Some(service) = on_node {
        return Ends::Service { service, addresses: vec![ip], entrance: Entrance::NodePorts };
    }
    match snapshot.service_by_ip(ip) {
        Some(service) => {
            let is_inside = service.cluster_ips.contains(&ip);
            let entrance = if is_inside { Entrance::Ports } else { Entrance::External };
            Ends::Service { service, addresses: vec![ip], entrance }
        }
        None => Ends::Direct(vec![direct]),
    }
}

/// Those behind a Service, whatever the port.
pub(super) fn members<'a>(snapshot: &'a Snapshot, service: &Service) -> Vec<NamedPeer<'a>> {
    let slices = snapshot.endpoint_slices(&service.key);
    let mut ips: Vec<IpAddr> = slices.flat_map(|slice| slice.ready.iter().copied()).collect();
    ips.sort();
    ips.dedup();
    if ips.is_empty() {
        return selected(snapshot, service).into_iter().map(of_pod).collect();
    }
    ips.into_iter().map(|ip| endpoint(snapshot, ip)).collect()
}

/// Those behind a port of a Service, each with its own port.
pub(super) fn backends<'a>(
    snapshot: &'a Snapshot,
    service: &Service,
    port: &ServicePort,
) -> Vec<(NamedPeer<'a>, u16)> {
    let mut found: BTreeMap<(IpAddr, u16), ()> = BTreeMap::new();
    for slice in snapshot.endpoint_slices(&service.key) {
        let same = slice.ports.iter().filter(|own| own.name == port.name && own.protocol == port.protocol);
        for own in same {
            found.extend(slice.ready.iter().map(|ip| ((*ip, own.port), ())));
        }
    }
    if !found.is_empty() {
        return found.into_keys().map(|(ip, port)| (endpoint(snapshot, ip), port)).collect();
    }
    let pods = selected(snapshot, service).into_iter();
    pods.filter_map(|pod| Some((of_pod(pod), target(pod, port)?))).collect()
}

/// The port of a pod behind a port of a Service; `None` where it declares none of that name.
pub(crate) fn target(pod: &Pod, port: &ServicePort) -> Option<u16> {
    match &port.target {
        TargetPort::Number(number) => Some(*number),
        TargetPort::Named(name) => {
            let is_it =
                |own: &&ContainerPort| own.name.as_ref() == Some(name) && own.protocol == port.protocol;
            pod.class.ports.iter().find(is_it).map(|own| own.port)
        }
    }
}

fn endpoint(snapshot: &Snapshot, ip: IpAddr) -> NamedPeer<'_> {
    match snapshot.pod_by_ip(ip) {
        Some(pod) => of_pod(pod),
        None => NamedPeer { name: ip.to_string(), peer: ConnectionPeer::Ip(ip), range: None },
    }
}

fn selected<'a>(snapshot: &'a Snapshot, service: &Service) -> Vec<&'a Arc<Pod>> {
    // One that a question made up is behind nothing.
    let is_behind =
        |pod: &&Arc<Pod>| !pod.is_finished() && selects(service, pod) && !pod.name().starts_with("label:");
    let mut pods: Vec<&Arc<Pod>> = snapshot.pods().filter(is_behind).collect();
    pods.sort_by(|a, b| a.key.cmp(&b.key));
    pods
}

/// Whether a Service selects a pod.
pub(crate) fn selects(service: &Service, pod: &Pod) -> bool {
    let Some(selector) = &service.selector else { return false };
    service.namespace == *pod.namespace()
        && selector.iter().all(|(key, value)| pod.labels().get(key) == Some(value))
}

/// How a direct connection to a pod may have come through one of its Services from outside.
pub(super) fn exposure(snapshot: &Snapshot, peer: ConnectionPeer<'_>) -> Exposure {
    let pod = match peer {
        ConnectionPeer::Pod(pod) | ConnectionPeer::PodAt(pod, _) => Some(pod),
        ConnectionPeer::Ip(ip) => snapshot.pod_by_ip(ip),
        ConnectionPeer::NodeAt(..) => None,
    };
    let Some(pod) = pod else { return Exposure::Inside };
    let exposures: Vec<Exposure> =
        snapshot.services().filter(|service| selects(service, pod)).map(|service| service.exposure).collect();
    let has = |exposure| exposures.contains(&exposure);
    if has(Exposure::NodeTakesSource) {
        Exposure::NodeTakesSource
    } else if has(Exposure::KeepsSource) {
        Exposure::KeepsSource
    } else {
        Exposure::Inside
    }
}

pub(super) fn without_pods(service: &Service) -> UnknownEndpoint {
    UnknownEndpoint(format!(
        "Service {} has no pod behind it: no pod matches its selector, and no EndpointSlice is of it",
        service.key
    ))
}

fn unknown_pod(key: &str, snapshot: &Snapshot) -> UnknownEndpoint {
    let workloads = snapshot.pods().filter_map(|pod| {
        let workload = pod.workload.as_ref()?;
        Some(format!("{}/{}", pod.namespace(), workload.name))
    });
    let names = snapshot.pods().map(|pod| pod.key.to_string()).chain(workloads);
    unknown(&format!("pod {key:?}"), key, names)
}

/// There is no such thing; perhaps one with nearly that name is meant, or the one that has it in another namespace.
fn unknown(what: &str, wanted: &str, names: impl Iterator<Item = String>) -> UnknownEndpoint {
    let last = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let cost = |name: &str| match last(name) == last(wanted) {
        true => distance(wanted, name).min(1),
        false => distance(wanted, name),
    };
    let nearest = names.map(|name| (cost(&name), name)).min();
    UnknownEndpoint(match nearest {
        Some((distance, nearest)) if distance <= 1 + wanted.len() / 3 => {
            format!("there is no {what}; did you mean {nearest}?")
        }
        Some(_) => format!("there is no {what}"),
        None => format!(
            "there is no {what}, and no other either (add Pods or workloads to the manifests, or use addresses or label:…)"
        ),
    })
}
