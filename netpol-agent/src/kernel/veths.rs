//! Which veths lead into a pod, told by netlink from the host's network namespace alone.
//!
//! `RTM_GETLINK` gives each veth the index of its peer (`IFLA_LINK`) and the id of the peer's namespace
//! (`IFLA_LINK_NETNSID`); `RTM_GETADDR` with `IFA_TARGET_NETNSID` (Linux 4.20) lists the addresses inside that
//! namespace. No namespace is entered, and no process, socket or file of a container runtime is asked.

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{
    FutureExt as _, StreamExt as _, TryStreamExt as _,
    channel::mpsc::UnboundedReceiver,
    future::{BoxFuture, select},
    stream::FuturesUnordered,
};
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage},
};
use netlink_sys::{AsyncSocket as _, SocketAddr};
use rtnetlink::{Handle, MulticastGroup};
use thiserror::Error;
use tokio::sync::mpsc;

use super::host_addresses::{HostAddresses, own_address};

/// How long to wait between looks at a namespace that has no addresses yet: a CNI sets them within milliseconds of
/// the interface. After the last one only a packet from the pod makes for another look.
const ADDRESS_RETRIES: [Duration; 8] = [
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(3),
];

/// Receive buffer for link messages, in bytes: some thousand of them.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Why the veths are not known.
#[derive(Debug, Error)]
pub enum InterfaceError {
    /// No netlink socket.
    #[error("cannot open a netlink socket: {0}")]
    Socket(#[from] io::Error),
    /// The kernel refused a request.
    #[error("netlink request {request} failed: {reason}")]
    Request {
        /// Which.
        request: &'static str,
        /// The kernel's word.
        reason: String,
    },
    /// The socket closed under us.
    #[error("the netlink connection has ended")]
    Ended,
}

/// What has happened to the node's veths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterfaceEvent {
    /// There is one more.
    Added {
        /// Interface index of the host end.
        ifindex: u32,
        /// Its name.
        name: Arc<str>,
        /// When it was heard of.
        heard: Instant,
    },
    /// The addresses of the other end.
    Addresses {
        /// Interface index of the host end.
        ifindex: u32,
        /// All of them, link-local ones too.
        addresses: Vec<IpAddr>,
    },
    /// It is gone.
    Removed {
        /// Interface index that the host end had.
        ifindex: u32,
    },
    /// The addresses of the host's network namespace itself, all of them.
    Host(Vec<IpAddr>),
    /// The initial list has been told whole.
    Synced,
    /// Messages were missed, and the list was read anew.
    Resynced,
}

/// Where the other end of a pair is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Peer {
    ifindex: u32,
    namespace: i32,
}

/// A link message, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
struct VethLink {
    ifindex: u32,
    name: Arc<str>,
    peer: Peer,
}

type Messages = UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>;

/// Follows the node's veths.
pub struct InterfaceWatcher {
    sockets: BoxFuture<'static, ()>,
    messages: Messages,
    list: VethList,
}

/// What is known of the veths, and whom to tell.
struct VethList {
    requests: Handle,
    known: HashMap<u32, Peer>,
    host: HostAddresses,
    changes: mpsc::UnboundedSender<InterfaceEvent>,
    /// Interfaces whose addresses will be looked at again, and how often that has been done.
    again: FuturesUnordered<BoxFuture<'static, (u32, usize)>>,
}

impl InterfaceWatcher {
    /// Opens the sockets, in the network namespace of the calling thread. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// The sockets can't be had.
    pub fn new(changes: mpsc::UnboundedSender<InterfaceEvent>) -> Result<Self, InterfaceError> {
        let (mut multicast, _, messages) = rtnetlink::new_multicast_connection(&[
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
        ])?;
        multicast.socket_mut().socket_mut().set_rx_buf_sz(RECEIVE_BUFFER)?;
        let (connection, requests, _) = rtnetlink::new_connection_with_strict_check()?;
        let sockets = select(multicast, connection).map(drop).boxed();
        let list = VethList {
            requests,
            known: HashMap::new(),
            host: HostAddresses::default(),
            changes,
            again: FuturesUnordered::new(),
        };
        Ok(Self { sockets, messages, list })
    }

    /// Tells of the veths there are, then of each change, until the receiver of the changes goes away. Each interface
    /// index in `refresh_requests` makes for another look at that veth's addresses.
    ///
    /// # Errors
    ///
    /// The kernel refuses a request, or the connection ends.
    pub async fn run(self, refresh_requests: mpsc::Receiver<u32>) -> Result<(), InterfaceError> {
        let Self { sockets, messages, list } = self;
        tokio::select! {
            () = sockets => Err(InterfaceError::Ended),
            result = list.follow(messages, refresh_requests) => result,
        }
    }
}

impl VethList {
    async fn follow(
        mut self,
        mut messages: Messages,
        mut refresh_requests: mpsc::Receiver<u32>,
    ) -> Result<(), InterfaceError> {
        self.resync().await?;
        self.tell(InterfaceEvent::Synced);
        loop {
            tokio::select! {
                () = self.changes.closed() => return Ok(()),
                message = messages.next() => {
                    let (message, _) = message.ok_or(InterfaceError::Ended)?;
                    self.message(message.payload).await?;
                }
                Some((ifindex, tries)) = self.again.next() => self.read_addresses(ifindex, tries).await,
                Some(ifindex) = refresh_requests.recv() => self.read_addresses(ifindex, ADDRESS_RETRIES.len()).await,
            }
        }
    }

    async fn message(&mut self, payload: NetlinkPayload<RouteNetlinkMessage>) -> Result<(), InterfaceError> {
        match payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(message)) => {
                if let Some(link) = veth(&message) {
                    self.appeared(link).await;
                }
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(message)) => {
                self.gone(message.header.index);
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(message))
                if self.host.add(&message) =>
            {
                self.tell_host();
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelAddress(message))
                if self.host.remove(&message) =>
            {
                self.tell_host();
            }
            // The socket's buffer was full (ENOBUFS): some changes will never be told.
            NetlinkPayload::Overrun(_) => {
                self.resync().await?;
                self.tell(InterfaceEvent::Resynced);
            }
            _ => {}
        }
        Ok(())
    }

    /// Reads the whole list and tells of the differences.
    async fn resync(&mut self) -> Result<(), InterfaceError> {
        let failed = |error: rtnetlink::Error| InterfaceError::Request {
            request: "RTM_GETLINK or RTM_GETADDR",
            reason: error.to_string(),
        };
        let links: Vec<LinkMessage> =
            self.requests.link().get().execute().try_collect().await.map_err(failed)?;
        let links: Vec<VethLink> = links.iter().filter_map(veth).collect();
        let gone: Vec<u32> = self
            .known
            .keys()
            .copied()
            .filter(|ifindex| links.iter().all(|link| link.ifindex != *ifindex))
            .collect();
        for ifindex in gone {
            self.gone(ifindex);
        }
        self.host = HostAddresses::default();
        for message in
            self.requests.address().get().execute().try_collect::<Vec<_>>().await.map_err(failed)?
        {
            self.host.add(&message);
        }
        self.tell_host();
        for link in links {
            self.appeared(link).await;
        }
        Ok(())
    }

    async fn appeared(&mut self, link: VethLink) {
        let VethLink { ifindex, name, peer } = link;
        if self.known.insert(ifindex, peer) == Some(peer) {
            return;
        }
        self.tell(InterfaceEvent::Added { ifindex, name, heard: Instant::now() });
        self.read_addresses(ifindex, 0).await;
    }

    fn gone(&mut self, ifindex: u32) {
        if self.known.remove(&ifindex).is_some() {
            self.tell(InterfaceEvent::Removed { ifindex });
        }
    }

    /// Tells the addresses at a veth's other end; where there are none yet, looks again a little later.
    async fn read_addresses(&mut self, ifindex: u32, tries: usize) {
        let Some(&peer) = self.known.get(&ifindex) else { return };
        // A refusal means that the namespace is going away, as the link soon will.
        let addresses = self.addresses(peer).await.unwrap_or_default();
        let settled = addresses.iter().any(|address| !is_link_local(*address));
        if settled {
            self.tell(InterfaceEvent::Addresses { ifindex, addresses });
        } else if let Some(&delay) = ADDRESS_RETRIES.get(tries) {
            self.again.push(tokio::time::sleep(delay).map(move |()| (ifindex, tries + 1)).boxed());
        }
    }

    async fn addresses(&mut self, peer: Peer) -> Result<Vec<IpAddr>, InterfaceError> {
        let failed = |reason: String| InterfaceError::Request { request: "RTM_GETADDR", reason };
        let mut request = AddressMessage::default();
        request.header.family = AddressFamily::Unspec;
        request.header.index = peer.ifindex;
        request.attributes.push(AddressAttribute::TargetNetNsId(peer.namespace));
        let mut message = NetlinkMessage::from(RouteNetlinkMessage::GetAddress(request));
        message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        let mut replies = self.requests.request(message).map_err(|error| failed(error.to_string()))?;
        let mut addresses = Vec::new();
        while let Some(reply) = replies.next().await {
            match reply.payload {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(address))
                    if address.header.index == peer.ifindex =>
                {
                    addresses.extend(own_address(&address));
                }
                NetlinkPayload::Error(error) => return Err(failed(error.to_string())),
                _ => {}
            }
        }
        Ok(addresses)
    }

    fn tell_host(&self) {
        self.tell(InterfaceEvent::Host(self.host.all()));
    }

    fn tell(&self, change: InterfaceEvent) {
        // The receiver has gone: `run` sees that and ends.
        let _ = self.changes.send(change);
    }
}

/// A veth whose peer is in another namespace; anything else is none of ours.
fn veth(message: &LinkMessage) -> Option<VethLink> {
    let (mut name, mut peer_index, mut namespace, mut is_veth) = (None, None, None, false);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(value) => name = Some(value.as_str()),
            LinkAttribute::Link(value) => peer_index = Some(*value),
            LinkAttribute::LinkNetNsId(value) => namespace = Some(*value),
            LinkAttribute::LinkInfo(infos) => {
                is_veth |= infos.iter().any(|info| matches!(info, LinkInfo::Kind(InfoKind::Veth)));
            }
            _ => {}
        }
    }
    if !is_veth {
        return None;
    }
    let peer = Peer { ifindex: peer_index?, namespace: namespace.filter(|id| *id >= 0)? };
    Some(VethLink { ifindex: message.header.index, name: name?.into(), peer })
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(attributes: Vec<LinkAttribute>) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = 7;
        message.attributes = attributes;
        message
    }

    #[test]
    fn only_veths_into_other_namespaces() {
        let name = || LinkAttribute::IfName("veth7".into());
        let kind = |kind| LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)]);
        let peer = || LinkAttribute::Link(2);
        let namespace = |id| LinkAttribute::LinkNetNsId(id);
        for (what, attributes, expected) in [
            ("a pod's", vec![name(), kind(InfoKind::Veth), peer(), namespace(3)], true),
            ("namespace id 0 is an id", vec![name(), kind(InfoKind::Veth), peer(), namespace(0)], true),
            ("both ends here", vec![name(), kind(InfoKind::Veth), peer()], false),
            ("id unknown", vec![name(), kind(InfoKind::Veth), peer(), namespace(-1)], false),
            ("a bridge", vec![name(), kind(InfoKind::Bridge), peer(), namespace(3)], false),
            ("nothing", vec![], false),
        ] {
            assert_eq!(veth(&message(attributes)).is_some(), expected, "{what}");
        }
    }
}
