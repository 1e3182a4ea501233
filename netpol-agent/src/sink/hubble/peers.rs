//! Which agents there are, for the relay that asks them all.

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

/// Where the nodes are told.
#[derive(Clone, Debug)]
pub struct PeerList(watch::Sender<Nodes>);

impl Default for PeerList {
    fn default() -> Self {
        Self(watch::Sender::new(Nodes::new()))
    }
}

impl PeerList {
    /// From now on it is these.
    pub fn set(&self, nodes: Nodes) {
        self.0.send_if_modified(|known| {
            let is_news = *known != nodes;
            *known = nodes;
            is_news
        });
    }

    /// The service, of agents that all listen on this port and all do or don't speak TLS.
    pub(super) fn service(&self, port: u16, tls: bool) -> PeerService {
        PeerService { nodes: self.0.clone(), port, tls }
    }
}

pub(super) struct PeerService {
    nodes: watch::Sender<Nodes>,
    port: u16,
    tls: bool,
}

/// What one client has been told.
struct Told {
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
        let told =
            Told { nodes, port: self.port, tls: self.tls, known: Nodes::new(), ready: VecDeque::new() };
        let changes = stream::unfold(told, |mut told| async move { Some((Ok(told.next().await?), told)) });
        Ok(Response::new(Box::pin(changes)))
    }
}

impl Told {
    /// The next change; `None` when the agent ends.
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
        let gone = known.iter().filter(|(name, _)| !self.known.contains_key(*name));
        let mut changes: Vec<_> =
            gone.map(|(name, address)| self.change(name, *address, Change::PeerDeleted)).collect();
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

/// What the relay expects a node's certificate to be made out to, as one of `*.default.hubble-grpc.cilium.io`.
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
        let mut told =
            Told { nodes: receiver, port: 4244, tls: true, known: Nodes::new(), ready: VecDeque::new() };
        let mut after = |state: Nodes| {
            told.compare(state);
            let short = |change: ChangeNotification| {
                let tls = change.tls.map(|tls| tls.server_name).unwrap_or_default();
                format!(
                    "{:?} {} {} {tls}",
                    Change::try_from(change.r#type).unwrap(),
                    change.name,
                    change.address
                )
            };
            told.ready.drain(..).map(short).collect::<Vec<_>>()
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
