//! The interfaces of the pods, as netlink reports them.
//!
//! With the pods' namespaces, each link that leads out of a namespace is a pod's interface ([`inside`]).
//! If the link is one end of a pair, the other end must be in the node's namespace: the two name each other.
//!
//! Without them, only the ends of pairs in the node's namespace are seen. `RTM_GETLINK` lists the links. A recogniser in
//! [`DEVICE_KINDS`] says whether a link leads into a pod, and where its peer is. `RTM_GETADDR` with `IFA_TARGET_NETNSID`
//! (Linux 4.20) lists the addresses in the peer's namespace.
//!
//! To add a kind of pair, write its recogniser in a file next to `pair.rs` and list it in [`DEVICE_KINDS`]; for other
//! devices see `LinkState::leads_out`.

mod exits;
mod hook;
mod host_addresses;
mod identify;
mod inside;
mod pair;

use std::{collections::HashMap, future::pending, io, net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

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
    link::LinkMessage,
};
use netlink_sys::{AsyncSocket as _, SocketAddr};
use rtnetlink::{Handle, MulticastGroup};
use thiserror::Error;
use tokio::sync::mpsc;

pub use self::hook::{Hook, Hooks, Side};
pub(super) use self::host_addresses::own_address;
use self::{
    exits::Exits,
    host_addresses::HostAddresses,
    inside::{Inside, InsideChange},
};
use super::{
    monotonic_now,
    namespaces::{Folders, Helper, HelperError},
    own_network_namespace,
};
use crate::model::Monotonic;

/// Recognises the links of one kind of device; `None` for a link of another kind, or one that does not lead into a pod.
type Recognise = fn(&LinkMessage) -> Option<PodLink>;

/// The kinds of devices that lead into pods.
const DEVICE_KINDS: &[Recognise] = &[pair::recognise];

/// Delays before the addresses are read again, while the peer has none: a CNI plugin sets them within milliseconds of
/// creating the interface. After the last delay, only a packet from the pod makes the agent read them again.
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

/// Receive buffer of the socket for link messages, in bytes. It holds some thousand messages.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Why the pod interfaces are not known.
#[derive(Debug, Error)]
pub enum InterfaceError {
    /// The netlink socket could not be opened.
    #[error("cannot open a netlink socket: {0}")]
    Socket(#[from] io::Error),
    /// The kernel refused a request.
    #[error("netlink request {request} failed: {reason}")]
    Request {
        /// The kind of request, as rtnetlink(7) names it.
        request: &'static str,
        /// The kernel's error.
        reason: String,
    },
    /// The netlink socket was closed.
    #[error("the netlink connection has ended")]
    Ended,
    /// The pods' namespaces can't be entered any more.
    #[error("cannot enter the pods' network namespaces: {0}")]
    Helper(#[from] HelperError),
}

/// A change of the node's pod interfaces. Each interface has a number: the index of its end on the node, or if it has
/// none there, one that no index has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterfaceEvent {
    /// An interface was added, or its peer moved to another namespace.
    Added {
        /// The interface's number.
        ifindex: u32,
        /// Name of the interface's end on the node; inside the pod, if it has none there.
        name: Arc<str>,
        /// Where its packets are seen.
        hooks: Hooks,
        /// When the netlink message about it was read.
        at: Monotonic,
    },
    /// The addresses of the interface in the pod were read.
    Addresses {
        /// The interface's number.
        ifindex: u32,
        /// All its addresses, link-local ones too.
        addresses: Vec<IpAddr>,
    },
    /// An interface was removed.
    Removed {
        /// The interface's number.
        ifindex: u32,
        /// When the netlink message about it was read.
        at: Monotonic,
    },
    /// All addresses of the host's own network namespace.
    Host(Vec<IpAddr>),
    /// The interfaces through which packets leave the node.
    Exits {
        /// Their indexes.
        watched: Vec<u32>,
        /// Whether there are no others, at which the programs can't see packets.
        is_complete: bool,
    },
    /// All interfaces that were there at the start have been reported.
    Synced,
    /// The kernel dropped netlink messages, and the whole list was read again.
    Resynced,
}

/// The pod's end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Peer {
    /// Index in the pod's network namespace.
    ifindex: u32,
    /// Id that the host's network namespace has for the pod's (`ip netns list-id`).
    namespace: i32,
}

/// A link that leads into a pod.
#[derive(Debug, PartialEq, Eq)]
struct PodLink {
    /// Index of the host's end.
    ifindex: u32,
    /// Name of the host's end.
    name: Arc<str>,
    peer: Peer,
}

type Messages = UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>;

/// Watches the node's pod interfaces.
pub struct InterfaceWatcher {
    sockets: BoxFuture<'static, ()>,
    messages: Messages,
    interfaces: PodInterfaceList,
}

/// The pod interfaces that are known, and the receiver of their changes.
struct PodInterfaceList {
    kinds: &'static [Recognise],
    requests: Handle,
    /// The ends of pairs in the node's namespace, by index.
    known: HashMap<u32, (Arc<str>, Peer)>,
    /// The interfaces inside the pods' namespaces; `None` if those can't be reached.
    inside: Option<Inside>,
    exits: Exits,
    /// The exits that were reported.
    reported_exits: (Vec<u32>, bool),
    host: HostAddresses,
    events: mpsc::UnboundedSender<InterfaceEvent>,
    /// Interfaces whose addresses will be read again, each with the number of retries until then.
    retries: FuturesUnordered<BoxFuture<'static, (u32, usize)>>,
}

impl InterfaceWatcher {
    /// Opens the sockets in the network namespace of the calling thread. With `namespaces`, the interfaces are those
    /// inside the namespaces of these folders. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// A netlink socket can't be opened.
    pub fn new(
        namespaces: Option<(Arc<Helper>, Vec<PathBuf>)>,
        events: mpsc::UnboundedSender<InterfaceEvent>,
    ) -> Result<Self, InterfaceError> {
        Self::with_kinds(DEVICE_KINDS, namespaces, events)
    }

    fn with_kinds(
        kinds: &'static [Recognise],
        namespaces: Option<(Arc<Helper>, Vec<PathBuf>)>,
        events: mpsc::UnboundedSender<InterfaceEvent>,
    ) -> Result<Self, InterfaceError> {
        let own = own_network_namespace();
        let inside = namespaces.map(|(helper, folders)| Inside::new(helper, Folders::new(folders, own)));
        let (mut multicast, _, messages) = rtnetlink::new_multicast_connection(&[
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
        ])?;
        multicast.socket_mut().socket_mut().set_rx_buf_sz(RECEIVE_BUFFER)?;
        let (connection, requests, _) = rtnetlink::new_connection_with_strict_check()?;
        let sockets = select(multicast, connection).map(drop).boxed();
        let interfaces = PodInterfaceList {
            kinds,
            requests,
            known: HashMap::new(),
            inside,
            exits: Exits::default(),
            reported_exits: (Vec::new(), false),
            host: HostAddresses::default(),
            events,
            retries: FuturesUnordered::new(),
        };
        Ok(Self { sockets, messages, interfaces })
    }

    /// Reports the interfaces that are there, then each change, until the receiver of the events is dropped. For each
    /// interface index in `refresh_requests`, the addresses of that interface's peer are read again.
    ///
    /// # Errors
    ///
    /// The kernel refuses a request, or the netlink connection ends.
    pub async fn run(self, refresh_requests: mpsc::Receiver<u32>) -> Result<(), InterfaceError> {
        let Self { sockets, messages, interfaces } = self;
        tokio::select! {
            () = sockets => Err(InterfaceError::Ended),
            result = interfaces.follow(messages, refresh_requests) => result,
        }
    }
}

impl PodInterfaceList {
    async fn follow(
        mut self,
        mut messages: Messages,
        mut refresh_requests: mpsc::Receiver<u32>,
    ) -> Result<(), InterfaceError> {
        self.resync().await?;
        self.read_namespaces().await?;
        self.list_exits().await?;
        self.emit(InterfaceEvent::Synced);
        loop {
            tokio::select! {
                () = self.events.closed() => return Ok(()),
                change = changed(&mut self.inside) => self.inside_changed(change).await?,
                message = messages.next() => {
                    let (message, _) = message.ok_or(InterfaceError::Ended)?;
                    self.message(message.payload, monotonic_now()).await?;
                }
                Some((ifindex, tries)) = self.retries.next() => self.read_addresses(ifindex, tries).await,
                Some(ifindex) = refresh_requests.recv() => self.read_addresses(ifindex, ADDRESS_RETRIES.len()).await,
            }
        }
    }

    /// Handles a message that was read at `at`.
    async fn message(
        &mut self,
        payload: NetlinkPayload<RouteNetlinkMessage>,
        at: Monotonic,
    ) -> Result<(), InterfaceError> {
        match payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(message)) => {
                let link = self.recognise(&message);
                // An end of a new pair is a pod's, or will be.
                self.exits.update(&message, link.is_some());
                self.report_exits();
                if let Some(link) = link {
                    self.added(link, at).await;
                }
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(message)) => {
                self.exits.remove(message.header.index);
                self.report_exits();
                self.removed(message.header.index, at);
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(message))
                if self.host.add(&message) =>
            {
                self.emit_host();
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelAddress(message))
                if self.host.remove(&message) =>
            {
                self.emit_host();
            }
            // The socket's buffer was full (ENOBUFS), and the kernel dropped messages.
            NetlinkPayload::Overrun(_) => {
                self.resync().await?;
                self.list_exits().await?;
                self.emit(InterfaceEvent::Resynced);
            }
            _ => {}
        }
        Ok(())
    }

    /// Recognises a link that leads into a pod.
    fn recognise(&self, message: &LinkMessage) -> Option<PodLink> {
        self.kinds.iter().find_map(|recognise| recognise(message))
    }

    /// Reads the whole list and reports the differences.
    async fn resync(&mut self) -> Result<(), InterfaceError> {
        let links: Vec<LinkMessage> =
            self.requests.link().get().execute().try_collect().await.map_err(|error| failed(&error))?;
        let at = monotonic_now();
        let links: Vec<PodLink> = links.iter().filter_map(|message| self.recognise(message)).collect();
        let removed: Vec<u32> = self
            .known
            .keys()
            .copied()
            .filter(|ifindex| links.iter().all(|link| link.ifindex != *ifindex))
            .collect();
        for ifindex in removed {
            self.removed(ifindex, at);
        }
        self.host = HostAddresses::default();
        for message in self
            .requests
            .address()
            .get()
            .execute()
            .try_collect::<Vec<_>>()
            .await
            .map_err(|error| failed(&error))?
        {
            self.host.add(&message);
        }
        self.emit_host();
        for link in links {
            self.added(link, at).await;
        }
        Ok(())
    }

    async fn added(&mut self, link: PodLink, at: Monotonic) {
        let PodLink { ifindex, name, peer } = link;
        let known = self.known.insert(ifindex, (Arc::clone(&name), peer));
        if known.is_some_and(|(_, known)| known == peer) {
            return;
        }
        let Some(inside) = &self.inside else {
            let hooks = Hooks::at_host_end(ifindex);
            self.emit(InterfaceEvent::Added { ifindex, name, hooks, at });
            return self.read_addresses(ifindex, 0).await;
        };
        for inode in inside.waiting_for(ifindex) {
            self.identify(inode).await;
        }
    }

    fn removed(&mut self, ifindex: u32, at: Monotonic) {
        if self.known.remove(&ifindex).is_some() {
            if let Some(inside) = &mut self.inside {
                inside.forget(ifindex);
            }
            self.emit(InterfaceEvent::Removed { ifindex, at });
        }
    }

    /// Reads and reports the addresses of an interface's peer. If it has none yet, they are read again a little later.
    async fn read_addresses(&mut self, ifindex: u32, tries: usize) {
        let Some((_, peer)) = self.known.get(&ifindex).filter(|_| self.inside.is_none()) else { return };
        let peer = *peer;
        // The kernel refuses if the namespace is being removed; the link is removed soon after.
        let addresses = self.addresses(peer).await.unwrap_or_default();
        let settled = addresses.iter().any(|address| !is_link_local(*address));
        if settled {
            self.emit(InterfaceEvent::Addresses { ifindex, addresses });
        } else if let Some(&delay) = ADDRESS_RETRIES.get(tries) {
            self.retries.push(tokio::time::sleep(delay).map(move |()| (ifindex, tries + 1)).boxed());
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

    fn emit_host(&self) {
        self.emit(InterfaceEvent::Host(self.host.all()));
    }

    fn emit(&self, event: InterfaceEvent) {
        // This fails if the receiver was dropped: `follow` notices that, too, and ends.
        let _ = self.events.send(event);
    }
}

/// Waits for the next change inside the pods' namespaces; for ever if those can't be reached.
async fn changed(inside: &mut Option<Inside>) -> InsideChange {
    match inside {
        Some(inside) => inside.changed().await,
        None => pending().await,
    }
}

fn failed(error: &rtnetlink::Error) -> InterfaceError {
    InterfaceError::Request { request: "RTM_GETLINK or RTM_GETADDR", reason: error.to_string() }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use futures::channel::mpsc::unbounded;
    use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo};

    use super::*;

    /// The largest interface index: no device of this machine has it.
    const IFINDEX: u32 = i32::MAX as u32;

    fn recognise_ifb(message: &LinkMessage) -> Option<PodLink> {
        let kind = LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Ifb)]);
        message.attributes.contains(&kind).then(|| PodLink {
            ifindex: message.header.index,
            name: "ifb0".into(),
            peer: Peer { ifindex: 2, namespace: i32::MAX },
        })
    }

    fn link(kind: InfoKind) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = IFINDEX;
        message.attributes = vec![LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)])];
        message
    }

    /// Runs a watcher with these kinds, and hands it a link of `kind` that comes and goes.
    async fn events(kinds: &'static [Recognise], kind: InfoKind) -> Vec<InterfaceEvent> {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        // The kernel's own messages are kept unread.
        let InterfaceWatcher { sockets, messages: _messages, interfaces } =
            InterfaceWatcher::with_kinds(kinds, None, sender).unwrap();
        let (netlink, messages) = unbounded();
        for message in
            [RouteNetlinkMessage::NewLink(link(kind.clone())), RouteNetlinkMessage::DelLink(link(kind))]
        {
            netlink.unbounded_send((NetlinkMessage::from(message), SocketAddr::new(0, 0))).unwrap();
        }
        drop(netlink);
        let (_refresh, refresh_requests) = mpsc::channel(1);
        let ended = tokio::select! {
            () = sockets => panic!("the sockets were closed"),
            ended = interfaces.follow(messages, refresh_requests) => ended,
        };
        assert!(matches!(ended, Err(InterfaceError::Ended)), "{ended:?}");
        receiver.close();
        std::iter::from_fn(|| receiver.try_recv().ok())
            .filter(|event| {
                matches!(event, InterfaceEvent::Added { ifindex, .. } | InterfaceEvent::Removed { ifindex, .. }
                    if *ifindex == IFINDEX)
            })
            .collect()
    }

    #[tokio::test]
    async fn one_more_kind_is_one_more_recogniser() {
        const KINDS: &[Recognise] = &[pair::recognise, recognise_ifb];
        let start = monotonic_now();
        let seen = events(KINDS, InfoKind::Ifb).await;
        let [
            InterfaceEvent::Added { name, at: added_at, .. },
            InterfaceEvent::Removed { at: removed_at, .. },
        ] = &seen[..]
        else {
            panic!("{seen:?}")
        };
        assert_eq!(&**name, "ifb0");
        assert!(start <= *added_at && added_at <= removed_at && *removed_at <= monotonic_now(), "{seen:?}");
        assert_eq!(events(KINDS, InfoKind::Bridge).await, [], "no recogniser knows a bridge");
        assert_eq!(events(&[pair::recognise], InfoKind::Ifb).await, [], "nor ifb without its own");
    }
}
