//! A connection that people ask about: all that its ends and ports stand for, judged.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use super::{
    DeclaredState, EndpointName, UnknownEndpoint,
    ends::{self, Ends, Entrance, NamedPeer},
};
use crate::{
    cluster::{Index, Object, Snapshot},
    model::{Protocol, Service, object::Exposure, object::ServicePort},
    policy::{ConnectionPeer, Engine, Query, Verdict},
};

/// A connection that may be made.
#[derive(Clone, Debug)]
pub struct ConnectionQuestion {
    /// Who opens it.
    pub from: EndpointName,
    /// Who answers.
    pub to: EndpointName,
    /// The protocol; where there is none TCP, and without a port any that policies can name.
    pub protocol: Option<Protocol>,
    /// The destination's port: a Service's own where it is one, else the pod's. All ports where there is none.
    pub port: Option<u16>,
    /// Whether it is made to a Service's address, or comes through a load balancer. To a Service it is anyway.
    pub via_service: bool,
}

/// One of the connections that a question stands for, not yet judged.
#[derive(Clone, Debug)]
struct Planned<'e> {
    from: NamedPeer<'e>,
    to: NamedPeer<'e>,
    channel: usize,
    protocol: Protocol,
    port: u16,
    /// The addresses of a Service of which one is used.
    via_service: Option<Arc<[IpAddr]>>,
    seen: SeenSource,
}

/// One of the connections that a question stands for: from one end to another, on ports that policies do not tell apart.
#[derive(Clone, Debug)]
pub(crate) struct Case<'e> {
    pub(crate) from: NamedPeer<'e>,
    pub(crate) to: NamedPeer<'e>,
    /// Which of the question's ports it belongs to, as an index into its list of channels.
    pub(crate) channel: usize,
    pub(crate) protocol: Protocol,
    /// The port of who answers.
    pub(crate) port: u16,
    pub(crate) verdict: Verdict<'e>,
    /// Whether a node may take the source's place, and is judged otherwise.
    pub(crate) is_masked: bool,
}

/// Ports of the question that belong together: those of a range, or a Service's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Channel {
    pub(crate) protocol: Protocol,
    pub(crate) first: u16,
    pub(crate) last: u16,
}

/// All that a question stands for.
#[derive(Clone, Debug)]
pub(crate) struct Cases<'e> {
    /// The state that they are judged by.
    pub(crate) snapshot: &'e Snapshot,
    pub(crate) channels: Vec<Channel>,
    pub(crate) cases: Vec<Case<'e>>,
    /// Whether the question names its port.
    pub(crate) has_port: bool,
}

impl Case<'_> {
    pub(crate) fn allowed(&self) -> bool {
        self.verdict.allowed()
    }

    pub(crate) fn defined(&self) -> bool {
        self.verdict.defined() && !self.is_masked
    }
}

/// Whose address the destination sees, where a connection comes through a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SeenSource {
    /// As the engine has it: the source's own, if it is a pod.
    Own,
    /// The source's own, whoever it is.
    Kept,
    /// That of the source or that of a node.
    MaybeNode,
}

/// Judges all that a question stands for, and hands it to `use_it`.
///
/// # Errors
///
/// One of the ends is unknown, or a Service has no such port.
pub(crate) fn judge<R>(
    state: &DeclaredState,
    question: &ConnectionQuestion,
    use_it: impl FnOnce(&Cases<'_>) -> R,
) -> Result<R, UnknownEndpoint> {
    let with_pods = with_hypothetical_pods(state, question);
    let engine = with_pods.as_ref().unwrap_or(&state.engine);
    let snapshot: &Snapshot = engine.snapshot();
    let protocol = question.protocol.unwrap_or(Protocol::Tcp);
    let sources = match question.from.resolve(snapshot, None)? {
        Ends::Direct(sources) => sources,
        Ends::Service { service, .. } => ends::members(snapshot, service),
    };
    if sources.is_empty() {
        return Err(UnknownEndpoint(format!("nobody is behind {}", question.from)));
    }
    let at = question.port.map(|port| (protocol, port));
    let mut channels = Vec::new();
    let planned = match question.to.resolve(snapshot, at)? {
        Ends::Direct(targets) => direct(engine, question, &sources, &targets, &mut channels),
        Ends::Service { service, addresses, entrance } => {
            let way = Way { service, addresses: addresses.into(), entrance };
            through(engine, question, &sources, &way, &mut channels)?
        }
    };
    let cases = planned.iter().map(|planned| evaluate(engine, planned)).collect();
    Ok(use_it(&Cases { snapshot, channels, cases, has_port: question.port.is_some() }))
}

/// A Service, and how it is reached.
struct Way<'e> {
    service: &'e Service,
    addresses: Arc<[IpAddr]>,
    entrance: Entrance,
}

/// The policies compiled with the pods that the question makes up.
fn with_hypothetical_pods(state: &DeclaredState, question: &ConnectionQuestion) -> Option<Arc<Engine>> {
    let ends = [&question.from, &question.to];
    let pods: Vec<_> =
        ends.into_iter().filter_map(|end| end.hypothetical_pod(state.snapshot())).map(Arc::new).collect();
    if pods.is_empty() {
        return None;
    }
    let mut index = Index::new();
    index.sync(state.manifests.objects.iter().cloned().chain(pods.into_iter().map(Object::Pod)));
    Some(Engine::compile(&index.publish()))
}

/// The protocols that are asked about.
fn protocols(question: &ConnectionQuestion) -> Vec<Protocol> {
    match (question.protocol, question.port) {
        (Some(protocol), _) => vec![protocol],
        (None, Some(_)) => vec![Protocol::Tcp],
        (None, None) => vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp],
    }
}

/// Connections to pods or addresses themselves.
fn direct<'e>(
    engine: &'e Engine,
    question: &ConnectionQuestion,
    sources: &[NamedPeer<'e>],
    targets: &[NamedPeer<'e>],
    channels: &mut Vec<Channel>,
) -> Vec<Planned<'e>> {
    let ways: Vec<(Option<Arc<[IpAddr]>>, SeenSource)> = targets
        .iter()
        .map(|to| {
            if !question.via_service {
                return (None, SeenSource::Own);
            }
            let seen = match ends::exposure(engine.snapshot(), to.peer) {
                Exposure::NodeTakesSource => SeenSource::MaybeNode,
                Exposure::KeepsSource | Exposure::Inside => SeenSource::Own,
            };
            (Some(engine.service_addresses(to.peer).into()), seen)
        })
        .collect();
    let mut planned = Vec::new();
    for protocol in protocols(question) {
        for (first, last) in port_ranges(engine, question.port, protocol, sources, targets) {
            let channel = channels.len();
            channels.push(Channel { protocol, first, last });
            for (to, (via_service, seen)) in targets.iter().zip(&ways) {
                planned.extend(sources.iter().map(|from| Planned {
                    from: from.clone(),
                    to: to.clone(),
                    channel,
                    protocol,
                    port: first,
                    via_service: via_service.clone(),
                    seen: *seen,
                }));
            }
        }
    }
    planned
}

/// Ranges of ports within which no verdict changes; the port alone where one is given.
fn port_ranges(
    engine: &Engine,
    port: Option<u16>,
    protocol: Protocol,
    sources: &[NamedPeer<'_>],
    targets: &[NamedPeer<'_>],
) -> Vec<(u16, u16)> {
    if let Some(port) = port {
        return vec![(port, port)];
    }
    if !protocol.has_ports() {
        return vec![(0, 0)];
    }
    let mut starts = BTreeSet::new();
    for source in sources {
        for target in targets {
            let (source, destination) = (source.peer, target.peer);
            let query = Query { source, destination, protocol, port: 1, via_service: None };
            starts.extend(engine.port_boundaries(&query));
        }
    }
    let starts: Vec<u16> = starts.into_iter().collect();
    let ends = starts.iter().skip(1).map(|start| start - 1).chain([u16::MAX]);
    starts.iter().copied().zip(ends).collect()
}

/// Connections to a Service: they are ones to those behind it, on their own ports.
fn through<'e>(
    engine: &'e Engine,
    question: &ConnectionQuestion,
    sources: &[NamedPeer<'e>],
    way: &Way<'e>,
    channels: &mut Vec<Channel>,
) -> Result<Vec<Planned<'e>>, UnknownEndpoint> {
    let Way { service, addresses, entrance } = way;
    let snapshot: &'e Snapshot = engine.snapshot();
    let number = |port: &ServicePort| match entrance {
        Entrance::NodePorts => port.node_port,
        Entrance::Ports | Entrance::External => Some(port.port),
    };
    let protocols = protocols(question);
    let is_asked = |port: &&ServicePort| {
        protocols.contains(&port.protocol) && question.port.is_none_or(|wanted| number(port) == Some(wanted))
    };
    let ports: Vec<&ServicePort> = service.ports.iter().filter(is_asked).collect();
    if ports.is_empty() {
        return Err(no_such_port(service, question));
    }
    let mut planned = Vec::new();
    for port in ports {
        let channel = channels.len();
        let (protocol, shown) = (port.protocol, number(port).unwrap_or(port.port));
        channels.push(Channel { protocol, first: shown, last: shown });
        for (to, target) in ends::backends(snapshot, service, port) {
            planned.extend(sources.iter().map(|from| Planned {
                from: from.clone(),
                to: to.clone(),
                channel,
                protocol,
                port: target,
                via_service: Some(addresses.clone()),
                seen: seen_source(snapshot, from.peer, service.exposure, *entrance),
            }));
        }
    }
    if planned.is_empty() { Err(ends::without_pods(service)) } else { Ok(planned) }
}

fn no_such_port(service: &Service, question: &ConnectionQuestion) -> UnknownEndpoint {
    let has: Vec<String> = service
        .ports
        .iter()
        .map(|port| {
            let node_port = port.node_port.map(|port| format!(" (node port {port})")).unwrap_or_default();
            format!("{} {}{node_port}", port.protocol, port.port)
        })
        .collect();
    let wanted = match (question.protocol, question.port) {
        (protocol, Some(port)) => format!("{} {port}", protocol.unwrap_or(Protocol::Tcp)),
        (Some(protocol), None) => protocol.to_string(),
        (None, None) => "any".to_owned(),
    };
    let has = if has.is_empty() { "none".to_owned() } else { has.join(", ") };
    UnknownEndpoint(format!("Service {} has no port {wanted}; it has: {has}", service.key))
}

/// Whose address the pods behind a Service see. Pods reach its own addresses without a change of theirs; what comes from
/// outside, and what goes to a node or a load balancer, may get a node's.
fn seen_source(
    snapshot: &Snapshot,
    source: ConnectionPeer<'_>,
    exposure: Exposure,
    entrance: Entrance,
) -> SeenSource {
    match (entrance, exposure) {
        (Entrance::Ports, _) if is_pod(snapshot, source) => SeenSource::Own,
        (_, Exposure::NodeTakesSource) => SeenSource::MaybeNode,
        (_, Exposure::KeepsSource) => SeenSource::Kept,
        (_, Exposure::Inside) => SeenSource::Own,
    }
}

/// Judges one of them, also as if a node had taken the source's place, where that may be.
fn evaluate<'e>(engine: &'e Engine, planned: &'e Planned<'e>) -> Case<'e> {
    let Planned { from, to, channel, protocol, port, via_service, seen } = planned;
    let ask = |source: ConnectionPeer<'e>, via_service: Option<&'e [IpAddr]>| {
        let query = Query { source, destination: to.peer, protocol: *protocol, port: *port, via_service };
        engine.evaluate(&query)
    };
    let through = via_service.as_deref();
    let case = |verdict, is_masked| Case {
        from: from.clone(),
        to: to.clone(),
        channel: *channel,
        protocol: *protocol,
        port: *port,
        verdict,
        is_masked,
    };
    let is_pod = is_pod(engine.snapshot(), from.peer);
    match seen {
        SeenSource::Own => case(ask(from.peer, through), false),
        SeenSource::Kept if is_pod => case(ask(from.peer, through), false),
        SeenSource::Kept => case(ask(from.peer, None), false),
        SeenSource::MaybeNode => {
            // For who is no pod, the address that the policies see is the source's own or a node's: both are asked for.
            let own = ask(from.peer, through.filter(|_| is_pod));
            let differs = own.egress.allowed && node_differs(engine, &own, ask);
            case(own, differs)
        }
    }
}

/// Whether a node in the source's place would be judged otherwise.
fn node_differs<'e>(
    engine: &'e Engine,
    own: &Verdict<'e>,
    ask: impl Fn(ConnectionPeer<'e>, Option<&'e [IpAddr]>) -> Verdict<'e>,
) -> bool {
    let mut nodes = engine.snapshot().nodes().filter_map(|node| Some((node, *node.ips.first()?))).peekable();
    if nodes.peek().is_none() {
        // There are nodes, and their addresses are not known: any range may have them.
        let unknown = ask(ConnectionPeer::Ip(Ipv4Addr::UNSPECIFIED.into()), Some(&[]));
        return !unknown.defined() || unknown.ingress.allowed != own.ingress.allowed;
    }
    nodes.any(|(node, ip)| {
        let verdict = ask(ConnectionPeer::NodeAt(node, ip), None);
        !verdict.defined() || verdict.ingress.allowed != own.ingress.allowed
    })
}

fn is_pod(snapshot: &Snapshot, peer: ConnectionPeer<'_>) -> bool {
    match peer {
        ConnectionPeer::Pod(_) | ConnectionPeer::PodAt(..) => true,
        ConnectionPeer::Ip(ip) => snapshot.pod_by_ip(ip).is_some(),
        ConnectionPeer::NodeAt(..) => false,
    }
}
