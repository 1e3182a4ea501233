//! Pairs of interfaces, veth and netkit: one end on the host, the other in a pod's network namespace.

use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};

use super::{Peer, PodLink};

/// Recognises one end of a pair whose peer is in another network namespace.
///
/// The kernel names the peer by its index (`IFLA_LINK`) and by the id of its namespace (`IFLA_LINK_NETNSID`). It leaves
/// the id out if both ends are in one namespace; a negative id means that the kernel has none.
pub(super) fn recognise(message: &LinkMessage) -> Option<PodLink> {
    let (mut name, mut peer_index, mut namespace, mut is_pair) = (None, None, None, false);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(value) => name = Some(value.as_str()),
            LinkAttribute::Link(value) => peer_index = Some(*value),
            LinkAttribute::LinkNetNsId(value) => namespace = Some(*value),
            LinkAttribute::LinkInfo(infos) => {
                is_pair |= infos
                    .iter()
                    .any(|info| matches!(info, LinkInfo::Kind(InfoKind::Veth | InfoKind::Netkit)));
            }
            _ => {}
        }
    }
    if !is_pair {
        return None;
    }
    let peer = Peer { ifindex: peer_index?, namespace: namespace.filter(|id| *id >= 0)? };
    Some(PodLink { ifindex: message.header.index, name: name?.into(), peer })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pairs_into_other_namespaces() {
        let name = || LinkAttribute::IfName("veth7".into());
        let kind = |kind| LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)]);
        let peer = || LinkAttribute::Link(2);
        let namespace = LinkAttribute::LinkNetNsId;
        let leads_to = |namespace| {
            Some(PodLink { ifindex: 7, name: "veth7".into(), peer: Peer { ifindex: 2, namespace } })
        };
        for (what, attributes, expected) in [
            ("a pod's", vec![name(), kind(InfoKind::Veth), peer(), namespace(3)], leads_to(3)),
            ("a pod's netkit", vec![name(), kind(InfoKind::Netkit), peer(), namespace(3)], leads_to(3)),
            (
                "namespace id 0 is an id",
                vec![name(), kind(InfoKind::Veth), peer(), namespace(0)],
                leads_to(0),
            ),
            ("both ends here", vec![name(), kind(InfoKind::Veth), peer()], None),
            ("id unknown", vec![name(), kind(InfoKind::Veth), peer(), namespace(-1)], None),
            ("a bridge", vec![name(), kind(InfoKind::Bridge), peer(), namespace(3)], None),
            ("nothing", vec![], None),
        ] {
            let mut message = LinkMessage::default();
            message.header.index = 7;
            message.attributes = attributes;
            assert_eq!(recognise(&message), expected, "{what}");
        }
    }
}
