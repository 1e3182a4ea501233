//! The links and addresses of one namespace, by a netlink socket in it.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    os::fd::{FromRawFd as _, IntoRawFd as _, OwnedFd},
    sync::Arc,
};

use futures::{StreamExt as _, TryStreamExt as _, channel::mpsc::UnboundedReceiver};
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    RouteNetlinkMessage,
    address::AddressMessage,
    link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
};
use netlink_sys::{AsyncSocket as _, SocketAddr, TokioSocket};
use rtnetlink::{Handle, MulticastGroup, from_socket};

use crate::kernel::interfaces::{InterfaceError, own_address};

/// One link of a namespace, with its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kernel) struct LinkState {
    pub(in crate::kernel) ifindex: u32,
    pub(in crate::kernel) name: Arc<str>,
    /// The kind of device; `None` for a real one, such as a card or a virtual function.
    pub(in crate::kernel) kind: Option<InfoKind>,
    pub(in crate::kernel) is_loopback: bool,
    /// The index of the other end of a pair, or of the device below.
    pub(in crate::kernel) peer: Option<u32>,
    /// Whether that is in another namespace.
    pub(in crate::kernel) peer_is_elsewhere: bool,
    pub(in crate::kernel) addresses: Vec<IpAddr>,
}

impl LinkState {
    fn of(message: &LinkMessage) -> Self {
        let mut link = Self {
            ifindex: message.header.index,
            name: "".into(),
            kind: None,
            is_loopback: message.header.flags.contains(LinkFlags::Loopback),
            peer: None,
            peer_is_elsewhere: false,
            addresses: Vec::new(),
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name = name.as_str().into(),
                LinkAttribute::Link(peer) => link.peer = Some(*peer),
                LinkAttribute::LinkNetNsId(_) => link.peer_is_elsewhere = true,
                LinkAttribute::LinkInfo(infos) => {
                    link.kind = infos.iter().find_map(|info| match info {
                        LinkInfo::Kind(kind) => Some(kind.clone()),
                        _ => None,
                    });
                }
                _ => {}
            }
        }
        link
    }

    /// Returns whether packets leave the namespace through this link. What goes through any other link of the namespace
    /// passes one of these, or does not leave it.
    pub(in crate::kernel) fn leads_out(&self) -> bool {
        let has_other_end = || self.peer.is_some() && self.peer_is_elsewhere;
        match &self.kind {
            _ if self.is_loopback => false,
            None => true,
            Some(
                InfoKind::Veth
                | InfoKind::Netkit
                | InfoKind::MacVlan
                | InfoKind::MacVtap
                | InfoKind::IpVlan
                | InfoKind::IpVtap
                | InfoKind::Vlan,
            ) => has_other_end(),
            Some(_) => false,
        }
    }

    /// Returns whether the link is one end of a pair.
    pub(in crate::kernel) fn is_pair(&self) -> bool {
        matches!(self.kind, Some(InfoKind::Veth | InfoKind::Netkit))
    }
}

/// The links of one namespace that lead out of it, by index.
pub(in crate::kernel) type Links = BTreeMap<u32, LinkState>;

/// Reports the links that lead out of a namespace, and again after each change, until `report` returns `false`.
///
/// # Errors
///
/// The kernel refuses a request, or closes the socket.
pub(in crate::kernel) async fn follow(
    socket: OwnedFd,
    report: impl FnMut(&Links) -> bool,
) -> Result<(), InterfaceError> {
    // SAFETY: the descriptor is a netlink socket, and nothing else owns it.
    let mut socket = unsafe { TokioSocket::from_raw_fd(socket.into_raw_fd()) };
    let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
    let mask = groups.iter().fold(0, |mask, group| mask | 1 << (*group as u32 - 1));
    socket.socket_mut().bind(&SocketAddr::new(0, mask))?;
    let (connection, requests, messages) = from_socket(socket);
    tokio::select! {
        () = connection => Err(InterfaceError::Ended),
        result = NamespaceLinks { requests, all: BTreeMap::new() }.follow(messages, report) => result,
    }
}

struct NamespaceLinks {
    requests: Handle,
    /// All links, also those that do not lead out.
    all: Links,
}

impl NamespaceLinks {
    async fn follow(
        mut self,
        mut messages: UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>,
        mut report: impl FnMut(&Links) -> bool,
    ) -> Result<(), InterfaceError> {
        self.list().await?;
        let mut reported = self.leading_out();
        while report(&reported) {
            while self.leading_out() == reported {
                let (message, _) = messages.next().await.ok_or(InterfaceError::Ended)?;
                self.message(message.payload).await?;
            }
            reported = self.leading_out();
        }
        Ok(())
    }

    fn leading_out(&self) -> Links {
        let links = self.all.iter().filter(|(_, link)| link.leads_out());
        links.map(|(ifindex, link)| (*ifindex, link.clone())).collect()
    }

    /// Reads all links and addresses.
    async fn list(&mut self) -> Result<(), InterfaceError> {
        let failed = |error: rtnetlink::Error| InterfaceError::Request {
            request: "RTM_GETLINK or RTM_GETADDR",
            reason: error.to_string(),
        };
        let links: Vec<_> = self.requests.link().get().execute().try_collect().await.map_err(failed)?;
        let addresses: Vec<_> =
            self.requests.address().get().execute().try_collect().await.map_err(failed)?;
        self.all = links.iter().map(LinkState::of).map(|link| (link.ifindex, link)).collect();
        addresses.iter().for_each(|message| self.add_address(message));
        Ok(())
    }

    async fn message(&mut self, payload: NetlinkPayload<RouteNetlinkMessage>) -> Result<(), InterfaceError> {
        match payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(message)) => {
                let mut link = LinkState::of(&message);
                if let Some(known) = self.all.remove(&link.ifindex) {
                    link.addresses = known.addresses;
                }
                self.all.insert(link.ifindex, link);
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(message)) => {
                self.all.remove(&message.header.index);
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(message)) => {
                self.add_address(&message);
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelAddress(message)) => {
                if let (Some(link), Some(address)) =
                    (self.all.get_mut(&message.header.index), own_address(&message))
                {
                    link.addresses.retain(|known| *known != address);
                }
            }
            // The socket's buffer was full (ENOBUFS), and the kernel dropped messages.
            NetlinkPayload::Overrun(_) => self.list().await?,
            _ => {}
        }
        Ok(())
    }

    fn add_address(&mut self, message: &AddressMessage) {
        if let (Some(link), Some(address)) = (self.all.get_mut(&message.header.index), own_address(message))
            && !link.addresses.contains(&address)
        {
            link.addresses.push(address);
        }
    }
}
