//! The gRPC service `Peer`: it reports the agents of all nodes to Hubble's relay.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    pin::Pin,
};

use futures::{Stream, stream};
use tokio::sync::watch;
use tonic::{Request, Response, Status, async_trait};

use super::{
    endpoint::CLUSTER,
    proto::peer::{ChangeNotification, ChangeNotificationType as Change, NotifyRequest, Tls, peer_server},
};
use crate::model::Nodes;

/// The list of the cluster's nodes. The sink updates it, and the service reads it.
#[derive(Clone, Debug)]
pub struct PeerList(watch::Sender<Nodes>);

impl Default for PeerList {
    fn default() -> Self {
        Self(watch::Sender::new(Nodes::new()))
    }
}

impl PeerList {
    /// Replaces the nodes.
    pub fn set(&self, nodes: Nodes) {
        self.0.send_if_modified(|known| {
            let has_changed = *known != nodes;
            *known = nodes;
            has_changed
        });
    }

    /// Creates the service. All agents listen on this port, and either all or none of them use TLS.
    pub(super) fn service(&self, port: u16, tls: bool) -> PeerService {
        PeerService { nodes: self.0.clone(), port, tls }
    }
}

pub(super) struct PeerService {
    nodes: watch::Sender<Nodes>,
    port: u16,
    tls: bool,
}

/// The nodes that were reported to one client.
struct ReportedPeers {
    nodes: watch::Receiver<Nodes>,
    port: u16,
    tls: bool,
    known: Nodes,
    ready: VecDeque<ChangeNotification>,
}

#[async_trait]
impl peer_server::Peer for PeerService {
    type NotifyStream = Pin<Box<dyn Stream<Item = Result<ChangeNotification, Status>> + Send>>;

    async fn notify(&self, _: Request<NotifyRequest>) -> Result<Response<Self::NotifyStream>, Status> {
        let mut nodes = self.nodes.subscribe();
        nodes.mark_changed();
        let reported = ReportedPeers {
            nodes,
            port: self.port,
            tls: self.tls,
            known: Nodes::new(),
            ready: VecDeque::new(),
        };
        let changes =
            stream::unfold(
                reported,
                |mut reported| async move { Some((Ok(reported.next().await?), reported)) },
            );
        Ok(Response::new(Box::pin(changes)))
    }
}

impl ReportedPeers {
    /// Waits for the next change. `None` when the agent ends.
    async fn next(&mut self) -> Option<ChangeNotification> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Some(change);
            }
            self.nodes.changed().await.ok()?;
            let nodes = self.nodes.borrow_and_update().clone();
            self.compare(nodes);
        }
    }

    fn compare(&mut self, nodes: Nodes) {
        let known = std::mem::replace(&mut self.known, nodes);
        let removed = known.iter().filter(|(name, _)| !self.known.contains_key(*name));
        let mut changes: Vec<_> =
            removed.map(|(name, address)| self.change(name, *address, Change::PeerDeleted)).collect();
        for (name, address) in &self.known {
            match known.get(name) {
                None => changes.push(self.change(name, *address, Change::PeerAdded)),
                Some(before) if before != address => {
                    changes.push(self.change(name, *address, Change::PeerUpdated));
                }
                Some(_) => {}
            }
        }
        self.ready.extend(changes);
    }

    fn change(&self, name: &str, address: IpAddr, change: Change) -> ChangeNotification {
        ChangeNotification {
            name: name.to_owned(),
            address: SocketAddr::new(address, self.port).to_string(),
            r#type: change.into(),
            tls: self.tls.then(|| Tls { server_name: server_name(name) }),
        }
    }
}

/// The server name that the relay expects in a node's certificate. It matches `*.default.hubble-grpc.cilium.io`.
fn server_name(node: &str) -> String {
    format!("{}.{CLUSTER}.hubble-grpc.cilium.io", node.replace('.', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes() {
        let nodes = |nodes: &[(&str, &str)]| -> Nodes {
            nodes.iter().map(|(name, address)| ((*name).into(), address.parse().unwrap())).collect()
        };
        let (_sender, receiver) = watch::channel(Nodes::new());
        let mut reported = ReportedPeers {
            nodes: receiver,
            port: 4244,
            tls: true,
            known: Nodes::new(),
            ready: VecDeque::new(),
        };
        let mut after = |state: Nodes| {
            reported.compare(state);
            let short = |change: ChangeNotification| {
                let tls = change.tls.map(|tls| tls.server_name).unwrap_or_default();
                format!(
                    "{:?} {} {} {tls}",
                    Change::try_from(change.r#type).unwrap(),
                    change.name,
                    change.address
                )
            };
            reported.ready.drain(..).map(short).collect::<Vec<_>>()
        };
        assert_eq!(
            after(nodes(&[("a.b", "10.0.0.1"), ("c", "fd00::1")])),
            [
                "PeerAdded a.b 10.0.0.1:4244 a-b.default.hubble-grpc.cilium.io",
                "PeerAdded c [fd00::1]:4244 c.default.hubble-grpc.cilium.io",
            ]
        );
        assert_eq!(
            after(nodes(&[("a.b", "10.0.0.2"), ("d", "10.0.0.4")])),
            [
                "PeerDeleted c [fd00::1]:4244 c.default.hubble-grpc.cilium.io",
                "PeerUpdated a.b 10.0.0.2:4244 a-b.default.hubble-grpc.cilium.io",
                "PeerAdded d 10.0.0.4:4244 d.default.hubble-grpc.cilium.io",
            ]
        );
        assert!(after(nodes(&[("a.b", "10.0.0.2"), ("d", "10.0.0.4")])).is_empty());
    }
}
