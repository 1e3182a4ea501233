//! The interfaces inside the pods' namespaces.

use std::{
    collections::{HashMap, HashSet},
    future::pending,
    sync::Arc,
};

use futures::{
    FutureExt as _, StreamExt as _,
    future::{AbortHandle, BoxFuture, abortable},
    stream::FuturesUnordered,
};
use netlink_packet_route::link::InfoKind;
use tokio::sync::mpsc;

use super::{Hook, Hooks, Side};
use crate::kernel::namespaces::{Folders, Helper, HelperError, LinkState, Links, NetworkNamespace, follow};

/// The first number of interfaces that have no end on the node. Interface indexes are smaller (they are positive ints).
const FIRST_NUMBER: u32 = 1 << 31;

/// What has changed.
pub(super) enum InsideChange {
    /// The folders may have other namespaces.
    Folders,
    /// The links of a namespace, by its inode.
    Links(u32, Links),
    /// A namespace can't be followed any more.
    Ended(u32),
}

/// One namespace that is followed.
struct Followed {
    namespace: Arc<NetworkNamespace>,
    /// The id that the node's namespace has for it, once there is one.
    id: Option<i32>,
    links: Links,
    /// The numbers of the interfaces that were reported, by their index inside.
    numbers: HashMap<u32, u32>,
    follower: AbortHandle,
}

/// An interface inside a pod.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) number: u32,
    pub(super) link: LinkState,
    pub(super) hooks: Hooks,
}

/// A link of a namespace that has not been reported.
pub(super) struct Candidate {
    pub(super) namespace: Arc<NetworkNamespace>,
    pub(super) id: Option<i32>,
    pub(super) link: LinkState,
}

/// All namespaces that are followed.
pub(super) struct Inside {
    helper: Arc<Helper>,
    folders: Folders,
    namespaces: HashMap<u32, Followed>,
    followers: FuturesUnordered<BoxFuture<'static, u32>>,
    sender: mpsc::UnboundedSender<(u32, Links)>,
    changes: mpsc::UnboundedReceiver<(u32, Links)>,
    next_number: u32,
}

impl Inside {
    pub(super) fn new(helper: Arc<Helper>, folders: Folders) -> Self {
        let (sender, changes) = mpsc::unbounded_channel();
        Self {
            helper,
            folders,
            namespaces: HashMap::new(),
            followers: FuturesUnordered::new(),
            sender,
            changes,
            next_number: FIRST_NUMBER,
        }
    }

    /// Waits for the next change. May be cancelled.
    pub(super) async fn changed(&mut self) -> InsideChange {
        let Self { folders, followers, changes, .. } = self;
        tokio::select! {
            biased;
            Some((inode, links)) = changes.recv() => InsideChange::Links(inode, links),
            Some(inode) = followers.next() => InsideChange::Ended(inode),
            () = folders.changed() => InsideChange::Folders,
            else => pending().await,
        }
    }

    /// Reads the folders: opens the new namespaces, and returns the numbers of the interfaces of those that are gone.
    ///
    /// # Errors
    ///
    /// The helper process has ended. A namespace that it can't enter is passed over.
    pub(super) fn read_folders(&mut self) -> Result<Vec<u32>, HelperError> {
        let (new, present) = self.folders.read(|inode| self.namespaces.contains_key(&inode));
        let removed = self.remove_all_but(&present);
        for namespace in new {
            self.open(namespace)?;
        }
        Ok(removed)
    }

    fn open(&mut self, namespace: NetworkNamespace) -> Result<(), HelperError> {
        let inode = namespace.inode();
        let socket = match self.helper.netlink_socket(&namespace) {
            Ok(socket) => socket,
            // It is being removed.
            Err(HelperError::Refused(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let sender = self.sender.clone();
        let report = move |links: &Links| sender.send((inode, links.clone())).is_ok();
        let (follower, abort) = abortable(follow(socket, report));
        self.followers.push(follower.map(move |_| inode).boxed());
        let followed = Followed {
            namespace: Arc::new(namespace),
            id: None,
            links: Links::new(),
            numbers: HashMap::new(),
            follower: abort,
        };
        self.namespaces.insert(inode, followed);
        Ok(())
    }

    fn remove_all_but(&mut self, present: &HashSet<u32>) -> Vec<u32> {
        let gone: Vec<u32> =
            self.namespaces.keys().copied().filter(|inode| !present.contains(inode)).collect();
        gone.into_iter().flat_map(|inode| self.remove(inode)).collect()
    }

    /// Forgets a namespace. Returns the numbers of its interfaces.
    pub(super) fn remove(&mut self, inode: u32) -> Vec<u32> {
        let Some(followed) = self.namespaces.remove(&inode) else { return Vec::new() };
        followed.follower.abort();
        followed.numbers.into_values().collect()
    }

    /// Returns the inodes of all namespaces.
    pub(super) fn inodes(&self) -> Vec<u32> {
        self.namespaces.keys().copied().collect()
    }

    /// Sets the links of a namespace. Returns the numbers of the interfaces that are gone, and the interfaces whose
    /// addresses have changed.
    pub(super) fn set_links(&mut self, inode: u32, links: Links) -> (Vec<u32>, Vec<(u32, LinkState)>) {
        let Some(followed) = self.namespaces.get_mut(&inode) else { return Default::default() };
        let gone = followed.numbers.extract_if(|ifindex, _| !links.contains_key(ifindex));
        let gone = gone.map(|(_, number)| number).collect();
        let changed = links.values().filter_map(|link| {
            let number = *followed.numbers.get(&link.ifindex)?;
            let known = followed.links.get(&link.ifindex)?;
            (known.addresses != link.addresses).then(|| (number, link.clone()))
        });
        let changed = changed.collect();
        followed.links = links;
        (gone, changed)
    }

    /// Returns whether an interface has this number.
    pub(super) fn has_number(&self, number: u32) -> bool {
        self.namespaces.values().any(|followed| followed.numbers.values().any(|known| *known == number))
    }

    /// Forgets the number of an interface whose end on the node was removed.
    pub(super) fn forget(&mut self, number: u32) {
        for followed in self.namespaces.values_mut() {
            followed.numbers.retain(|_, known| *known != number);
        }
    }

    /// Returns the links of a namespace that have not been reported.
    pub(super) fn candidates(&self, inode: u32) -> Vec<Candidate> {
        let Some(followed) = self.namespaces.get(&inode) else { return Vec::new() };
        let new = followed.links.values().filter(|link| !followed.numbers.contains_key(&link.ifindex));
        let candidate = |link: &LinkState| Candidate {
            namespace: Arc::clone(&followed.namespace),
            id: followed.id,
            link: link.clone(),
        };
        new.map(candidate).collect()
    }

    /// Returns the namespaces with a link, not reported yet, that is the other end of a pair on the node.
    pub(super) fn waiting_for(&self, host_end: u32) -> Vec<u32> {
        let waits = |followed: &Followed| {
            let mut links = followed.links.values();
            links.any(|link| {
                link.is_pair() && link.peer == Some(host_end) && !followed.numbers.contains_key(&link.ifindex)
            })
        };
        let waiting = self.namespaces.iter().filter(|(_, followed)| waits(followed));
        waiting.map(|(inode, _)| *inode).collect()
    }

    /// Remembers the id that the node's namespace has for a namespace.
    pub(super) fn set_id(&mut self, inode: u32, id: i32) {
        if let Some(followed) = self.namespaces.get_mut(&inode) {
            followed.id = Some(id);
        }
    }

    /// Adds a candidate as an interface. `host_end` is its other end, if it is one end of a pair with the node.
    pub(super) fn add(&mut self, candidate: Candidate, host_end: Option<u32>) -> Found {
        let Candidate { namespace, link, .. } = candidate;
        let mut hooks = Hooks::inside(&namespace, link.ifindex);
        // What a pod sends past its own egress hook (PACKET_QDISC_BYPASS, packet(7)) still enters the other end of a veth
        // pair. A program on a netkit pair may send packets elsewhere before they do.
        if let (Some(ifindex), Some(InfoKind::Veth)) = (host_end, &link.kind) {
            hooks.from_pod = Hook { namespace: None, ifindex, side: Side::Ingress };
        }
        let number = host_end.unwrap_or_else(|| {
            self.next_number += 1;
            self.next_number - 1
        });
        if let Some(followed) = self.namespaces.get_mut(&namespace.inode()) {
            followed.numbers.insert(link.ifindex, number);
        }
        Found { number, link, hooks }
    }
}
