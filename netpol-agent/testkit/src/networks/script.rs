//! Who talks to whom, in which way, and what the story's policies say about it.

use std::net::{IpAddr, SocketAddr};

use super::{
    cast::{CLOSED, Cast, ClusterService, PRIVATE, Player, Role, SERVED},
    contact::{Contact, Protocol},
};

/// The first source port. No two contacts have the same one, in the whole cluster. They are below the ports that kernels
/// choose and those of Services on nodes.
const FIRST_PORT: u16 = 20000;

/// The way to a Service by its port on a node, which may take the source's place.
pub(super) const NODE_PORT: &str = "node port";

/// What the declared policies say about a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Expected {
    Allowed,
    Denied,
    /// No policy is about it.
    NotApplicable,
    /// The API leaves it to the implementation, or it depends on the endpoint that is chosen.
    Undefined,
}

/// Writes down all contacts: every pair, in every way.
pub(super) fn write(cast: &Cast) -> Vec<Contact> {
    let mut script = Script { contacts: Vec::new() };
    for source in &cast.actors {
        for destination in cast.actors.iter().filter(|actor| actor.member != source.member) {
            script.direct(source.member, destination.member, destination.addresses);
        }
        for service in &cast.services {
            script.service(cast, source.member, service);
        }
    }
    script.contacts
}

struct Script {
    contacts: Vec<Contact>,
}

impl Script {
    /// Adds a contact, with a source port of its own.
    fn add(&mut self, contact: Contact) {
        let source_port = FIRST_PORT + self.contacts.len() as u16;
        self.contacts.push(Contact { source_port, ..contact });
    }

    /// To the addresses of a pod, or of the host outside.
    fn direct(&mut self, source: Player, destination: Player, addresses: [IpAddr; 2]) {
        // Nodes have no servers, and nobody but pods is watched.
        let is_pod = |member| matches!(member, Player::Pod(..));
        if matches!(destination, Player::Node(_)) || !(is_pod(source) || is_pod(destination)) {
            return;
        }
        let way = match (source.node(), destination.node()) {
            _ if destination == Player::Outside => "to outside",
            _ if source == Player::Outside => "from outside",
            (from, to) if from == to && is_pod(source) => "same node",
            (from, to) if from == to => "from own node",
            _ if is_pod(source) => "other node",
            _ => "from other node",
        };
        for address in addresses {
            for (protocol, port) in [
                (Protocol::Tcp, SERVED),
                (Protocol::Tcp, PRIVATE),
                (Protocol::Tcp, CLOSED),
                (Protocol::Udp, SERVED),
                (Protocol::Udp, PRIVATE),
                (Protocol::Udp, CLOSED),
            ] {
                let expected = expected(source, destination, protocol, port);
                let (to, endpoints) = (SocketAddr::new(address, port), vec![destination]);
                self.add(Contact { source, to, protocol, source_port: 0, port, endpoints, expected, way });
            }
        }
    }

    /// To a Service's own addresses, and to its port on each node.
    fn service(&mut self, cast: &Cast, source: Player, service: &ClusterService) {
        if matches!(source, Player::Node(_)) {
            return;
        }
        let is_pod = matches!(source, Player::Pod(..));
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            for address in service.addresses.into_iter().filter(|_| is_pod) {
                let expected = through_service(source, service, protocol);
                let is_hairpin = service.backends == [source];
                let way = if is_hairpin { "hairpin" } else { "Service" };
                let to = SocketAddr::new(address, 80);
                self.add(service.contact(source, to, protocol, expected, way));
            }
            for node in cast.actors.iter().filter(|actor| matches!(actor.member, Player::Node(_))) {
                let Some(node_port) = service.node_port else { continue };
                let expected = through_node(source, node.member, service, protocol);
                for address in node.addresses {
                    let to = SocketAddr::new(address, node_port);
                    self.add(service.contact(source, to, protocol, expected, NODE_PORT));
                }
            }
        }
    }
}

impl ClusterService {
    /// A contact to reach one of its endpoints.
    fn contact(
        &self,
        source: Player,
        to: SocketAddr,
        protocol: Protocol,
        expected: Expected,
        way: &'static str,
    ) -> Contact {
        let endpoints = self.backends.clone();
        Contact { source, to, protocol, source_port: 0, port: SERVED, endpoints, expected, way }
    }
}

/// What the policies say about a connection from one to another.
fn expected(source: Player, destination: Player, protocol: Protocol, port: u16) -> Expected {
    if source == destination {
        return Expected::NotApplicable;
    }
    if let (Player::Node(node), Player::Pod(_, at)) = (source, destination)
        && node == at
    {
        return Expected::NotApplicable;
    }
    let is_allowed = may_leave(source, destination, protocol, port) && may_enter(source, destination, port);
    if is_allowed { Expected::Allowed } else { Expected::Denied }
}

/// The egress rules of workloads.yaml.
fn may_leave(source: Player, destination: Player, protocol: Protocol, port: u16) -> bool {
    let Player::Pod(role, _) = source else { return true };
    match (role, destination) {
        (Role::Plain, _) => true,
        (Role::Front, Player::Pod(Role::Web, _)) => port != PRIVATE,
        (Role::Web, Player::Outside) => port == SERVED || (port == CLOSED && protocol == Protocol::Tcp),
        _ => false,
    }
}

/// The ingress rules of workloads.yaml.
fn may_enter(source: Player, destination: Player, port: u16) -> bool {
    match (source, destination) {
        (_, Player::Node(_) | Player::Outside | Player::Pod(Role::Plain, _)) => true,
        (Player::Pod(Role::Front | Role::Plain, _), Player::Pod(Role::Web, _)) => port != PRIVATE,
        _ => false,
    }
}

/// To one of the endpoints. Whether a pod may reach itself in this way is up to the implementation.
fn through_service(source: Player, service: &ClusterService, protocol: Protocol) -> Expected {
    let is_isolated = matches!(source, Player::Pod(role, _) if role.is_isolated());
    let own = if is_isolated { Expected::Undefined } else { Expected::Allowed };
    let each = service
        .backends
        .iter()
        .map(|backend| if *backend == source { own } else { expected(source, *backend, protocol, SERVED) });
    agreed(each)
}

/// The node may take the source's place, or not.
fn through_node(source: Player, node: Player, service: &ClusterService, protocol: Protocol) -> Expected {
    let as_itself = through_service(source, service, protocol);
    match source {
        // To its own node, a pod may always talk, or the policies apply: the API says both.
        Player::Pod(role, at) if role.is_isolated() && Some(at) == node.node() => return Expected::Undefined,
        Player::Pod(role, _) if role.is_isolated() => {
            // No rule lets any pod of the shop talk to a node.
            return if as_itself == Expected::Denied { Expected::Denied } else { Expected::Undefined };
        }
        _ => {}
    }
    let isolated =
        service.backends.iter().any(|backend| matches!(backend, Player::Pod(role, _) if role.is_isolated()));
    if isolated { Expected::Undefined } else { as_itself }
}

fn agreed(mut each: impl Iterator<Item = Expected>) -> Expected {
    let first = each.next().unwrap_or(Expected::Undefined);
    if each.all(|next| next == first) { first } else { Expected::Undefined }
}
