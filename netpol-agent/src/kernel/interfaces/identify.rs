//! Which interfaces inside the namespaces are pods', and which of the node's are exits.

use std::{
    os::fd::{AsFd as _, AsRawFd as _},
    sync::Arc,
};

use futures::{StreamExt as _, TryStreamExt as _};
use netlink_packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::LinkMessage,
    nsid::{NsidAttribute, NsidMessage},
};

use super::{
    InterfaceError, InterfaceEvent, PodInterfaceList, changed, failed,
    inside::{Candidate, Inside, InsideChange},
};
use crate::kernel::monotonic_now;

impl PodInterfaceList {
    /// Opens the namespaces that are there at the start, and waits until the links of each are known.
    pub(super) async fn read_namespaces(&mut self) -> Result<(), InterfaceError> {
        if self.inside.is_none() {
            return Ok(());
        }
        self.inside_changed(InsideChange::Folders).await?;
        let mut missing = self.inside.as_ref().map(Inside::inodes).unwrap_or_default();
        while !missing.is_empty() {
            let change = changed(&mut self.inside).await;
            if let InsideChange::Links(inode, _) | InsideChange::Ended(inode) = &change {
                missing.retain(|missing| missing != inode);
            }
            self.inside_changed(change).await?;
        }
        Ok(())
    }

    pub(super) async fn inside_changed(&mut self, change: InsideChange) -> Result<(), InterfaceError> {
        let Some(inside) = &mut self.inside else { return Ok(()) };
        let at = monotonic_now();
        match change {
            InsideChange::Folders => {
                for ifindex in inside.read_folders()? {
                    self.emit(InterfaceEvent::Removed { ifindex, at });
                }
            }
            InsideChange::Links(inode, links) => {
                let (gone, changed) = inside.set_links(inode, links);
                for ifindex in gone {
                    self.emit(InterfaceEvent::Removed { ifindex, at });
                }
                for (ifindex, link) in changed {
                    self.emit(InterfaceEvent::Addresses { ifindex, addresses: link.addresses });
                }
                self.identify(inode).await;
            }
            InsideChange::Ended(inode) => {
                for ifindex in inside.remove(inode) {
                    self.emit(InterfaceEvent::Removed { ifindex, at });
                }
            }
        }
        Ok(())
    }

    /// Reports the new interfaces of a namespace. One end of a pair is an interface if the other end is on this node.
    pub(super) async fn identify(&mut self, inode: u32) {
        let candidates = self.inside.as_ref().map(|inside| inside.candidates(inode)).unwrap_or_default();
        for candidate in candidates {
            let host_end = if candidate.link.is_pair() {
                let Some(host_end) = self.host_end(&candidate).await else { continue };
                Some(host_end)
            } else {
                None
            };
            let Some(inside) = &mut self.inside else { return };
            let found = inside.add(candidate, host_end);
            let known = host_end.and_then(|ifindex| self.known.get(&ifindex));
            let name = known.map_or_else(|| Arc::clone(&found.link.name), |(name, _)| Arc::clone(name));
            let (ifindex, addresses) = (found.number, found.link.addresses);
            self.exits.remove(ifindex);
            self.report_exits();
            self.emit(InterfaceEvent::Added { ifindex, name, hooks: found.hooks, at: monotonic_now() });
            self.emit(InterfaceEvent::Addresses { ifindex, addresses });
        }
    }

    /// Returns the index of a link's other end, if that is in the node's namespace and names the link as its own peer.
    pub(super) async fn host_end(&mut self, candidate: &Candidate) -> Option<u32> {
        let host_end = candidate.link.peer?;
        let (_, peer) = self.known.get(&host_end)?;
        let peer = *peer;
        if peer.ifindex != candidate.link.ifindex {
            return None;
        }
        let id = match candidate.id {
            Some(id) => id,
            None => self.namespace_id(candidate).await?,
        };
        (peer.namespace == id).then_some(host_end)
    }

    /// Returns the id that the node's namespace has for another one, if it has one.
    pub(super) async fn namespace_id(&mut self, candidate: &Candidate) -> Option<i32> {
        let mut request = NsidMessage::default();
        let descriptor = u32::try_from(candidate.namespace.as_fd().as_raw_fd()).ok()?;
        request.attributes.push(NsidAttribute::Fd(descriptor));
        let mut message = NetlinkMessage::from(RouteNetlinkMessage::GetNsId(request));
        message.header.flags = NLM_F_REQUEST;
        let mut replies = self.requests.request(message).ok()?;
        while let Some(reply) = replies.next().await {
            if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNsId(answer)) = reply.payload {
                let id = answer.attributes.iter().find_map(|attribute| match attribute {
                    NsidAttribute::Id(id) => Some(*id),
                    _ => None,
                });
                // The kernel answers -1 if there is none.
                let id = id.filter(|id| *id >= 0)?;
                if let Some(inside) = &mut self.inside {
                    inside.set_id(candidate.namespace.inode(), id);
                }
                return Some(id);
            }
        }
        None
    }

    /// Reads all links of the node, and reports those through which packets leave it. An end of a pair that is known to lead
    /// into a pod is none.
    pub(super) async fn list_exits(&mut self) -> Result<(), InterfaceError> {
        let links: Vec<LinkMessage> =
            self.requests.link().get().execute().try_collect().await.map_err(|error| failed(&error))?;
        for message in &links {
            let ifindex = message.header.index;
            let is_pods = self.inside.as_ref().is_some_and(|inside| inside.has_number(ifindex));
            self.exits.update(message, is_pods);
        }
        self.report_exits();
        Ok(())
    }

    pub(super) fn report_exits(&mut self) {
        let current = (self.exits.watched(), self.exits.is_complete());
        if self.inside.is_some() && self.reported_exits != current {
            self.reported_exits.clone_from(&current);
            let (watched, is_complete) = current;
            self.emit(InterfaceEvent::Exits { watched, is_complete });
        }
    }
}
