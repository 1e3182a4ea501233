//! The interfaces through which packets leave the node: cards, tunnels, and pairs that do not lead into a pod.

use std::collections::{BTreeMap, BTreeSet};

use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage};

/// What an interface of the node is to packets that leave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// They may leave through it, and the programs can be attached.
    Watched,
    /// They may leave through it. Its packets have no Ethernet header, which the programs expect.
    Unwatched,
    /// They don't leave through it; or they pass another interface, which is watched.
    None,
}

/// The exits that are known.
#[derive(Debug, Default)]
pub(super) struct Exits {
    /// The names of those that are watched, by index.
    watched: BTreeMap<u32, String>,
    unwatched: BTreeSet<u32>,
}

impl Exits {
    /// Adds an interface, or updates it. `may_lead_into_pod` is true for an end of a pair that may be a pod's.
    pub(super) fn update(&mut self, message: &LinkMessage, may_lead_into_pod: bool) {
        let ifindex = message.header.index;
        let name = message.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.clone()),
            _ => None,
        });
        match way(message) {
            Way::Watched if !may_lead_into_pod || self.watched.contains_key(&ifindex) => {
                self.watched.insert(ifindex, name.unwrap_or_default());
            }
            Way::Unwatched => {
                self.unwatched.insert(ifindex);
            }
            _ => self.remove(ifindex),
        }
    }

    /// Removes an interface.
    pub(super) fn remove(&mut self, ifindex: u32) {
        self.watched.remove(&ifindex);
        self.unwatched.remove(&ifindex);
    }

    /// Returns the indexes of the interfaces to watch.
    pub(super) fn watched(&self) -> Vec<u32> {
        self.watched.keys().copied().collect()
    }

    /// Returns whether all exits can be watched.
    pub(super) fn is_complete(&self) -> bool {
        self.unwatched.is_empty()
    }
}

fn way(message: &LinkMessage) -> Way {
    let flags = message.header.flags;
    let has_master = message
        .attributes
        .iter()
        .any(|attribute| matches!(attribute, LinkAttribute::Controller(index) if *index != 0));
    // What goes through a port of a bridge or a part of a bond passes that one first.
    if flags.contains(LinkFlags::Loopback) || has_master || !flags.contains(LinkFlags::Up) {
        return Way::None;
    }
    let kind = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => infos.iter().find_map(|info| match info {
            LinkInfo::Kind(kind) => Some(kind),
            _ => None,
        }),
        _ => None,
    });
    let leads_elsewhere =
        || message.attributes.iter().any(|attribute| matches!(attribute, LinkAttribute::LinkNetNsId(_)));
    match kind {
        // What goes into a pair with both ends on the node comes out on the node.
        Some(InfoKind::Veth | InfoKind::Netkit) if !leads_elsewhere() => Way::None,
        // They send nothing anywhere.
        Some(InfoKind::Dummy | InfoKind::Ifb | InfoKind::Nlmon) => Way::None,
        _ if message.header.link_layer_type == LinkLayerType::Ether => Way::Watched,
        _ => Way::Unwatched,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_interfaces_are_exits() {
        let kind = |kind| LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)]);
        let (up, ether) = (LinkFlags::Up, LinkLayerType::Ether);
        for (what, flags, layer, attributes, expected) in [
            ("a card", up, ether, vec![], Way::Watched),
            ("it is down", LinkFlags::empty(), ether, vec![], Way::None),
            ("a tunnel with Ethernet frames", up, ether, vec![kind(InfoKind::Vxlan)], Way::Watched),
            ("one without", up, LinkLayerType::Tunnel, vec![kind(InfoKind::IpIp)], Way::Unwatched),
            ("a bridge's port", up, ether, vec![LinkAttribute::Controller(3)], Way::None),
            ("a bridge", up, ether, vec![kind(InfoKind::Bridge)], Way::Watched),
            (
                "a pair to another namespace",
                up,
                ether,
                vec![kind(InfoKind::Veth), LinkAttribute::LinkNetNsId(0)],
                Way::Watched,
            ),
            ("a pair with both ends here", up, ether, vec![kind(InfoKind::Veth)], Way::None),
            ("loopback", up | LinkFlags::Loopback, LinkLayerType::Loopback, vec![], Way::None),
            ("nowhere", up, ether, vec![kind(InfoKind::Dummy)], Way::None),
        ] {
            let mut message = LinkMessage::default();
            message.header.flags = flags;
            message.header.link_layer_type = layer;
            message.attributes = attributes;
            assert_eq!(way(&message), expected, "{what}");
        }
    }

    #[test]
    fn a_pair_is_an_exit_only_if_it_leads_into_no_pod() {
        let mut message = LinkMessage::default();
        message.header.index = 7;
        message.header.flags = LinkFlags::Up;
        message.header.link_layer_type = LinkLayerType::Ether;
        let mut exits = Exits::default();
        exits.update(&message, true);
        assert!(exits.watched().is_empty());
        exits.update(&message, false);
        exits.update(&message, true);
        assert_eq!(exits.watched(), [7], "once it is one, it stays one");
        exits.remove(7);
        assert_eq!((exits.watched(), exits.is_complete()), (vec![], true));
    }
}
