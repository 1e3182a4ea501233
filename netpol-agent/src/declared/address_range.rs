//! Ranges of addresses, cut where policies may judge their parts differently.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

use crate::{
    cluster::Snapshot,
    model::{cluster_policy::TierPeer, network_policy::Peer},
};

/// Addresses from the first to the last, of one family, that no policy tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddressRange {
    pub(crate) first: IpAddr,
    pub(crate) last: IpAddr,
}

/// Ranges that are not of the public Internet (RFC 6890), but for those of examples.
const PRIVATE: [&str; 11] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
];

/// The public addresses of IPv6 (RFC 4291, section 2.4, as assigned by IANA).
const PUBLIC_V6: &str = "2000::/3";

/// The public addresses that are of no pod, node or Service; of IPv6 where the cluster has any.
pub(super) fn world(snapshot: &Snapshot) -> Vec<AddressRange> {
    let has_v6 = snapshot.pods().flat_map(|pod| pod.ips.iter()).any(IpAddr::is_ipv6);
    let texts = ["0.0.0.0/0"].into_iter().chain(has_v6.then_some(PUBLIC_V6));
    let whole: Vec<IpNet> = texts.filter_map(|text| text.parse().ok()).collect();
    let private: Vec<IpNet> = PRIVATE.iter().filter_map(|text| text.parse().ok()).collect();
    let mut ranges: Vec<AddressRange> =
        whole.iter().flat_map(|range| cut(snapshot, range, &private)).collect();
    let is_inside = |ip: IpAddr| {
        private.iter().any(|range| range.contains(&ip))
            || snapshot.is_for_pods(ip)
            || snapshot.pod_by_ip(ip).is_some()
            || snapshot.node_by_ip(ip).is_some()
            || snapshot.service_by_ip(ip).is_some()
    };
    ranges.retain(|range| !is_inside(range.first));
    ranges
}

/// All addresses, cut where ranges begin and end that policies name, each part with an address in it that is of no pod,
/// node or Service. A part that has only such addresses is left out.
pub(crate) fn outside(snapshot: &Snapshot) -> Vec<(AddressRange, IpAddr)> {
    let has_v6 = snapshot.pods().flat_map(|pod| pod.ips.iter()).any(IpAddr::is_ipv6);
    let all = ["0.0.0.0/0"].into_iter().chain(has_v6.then_some("::/0"));
    let all = all.filter_map(|text| text.parse::<IpNet>().ok());
    let is_known = |ip: IpAddr| {
        snapshot.pod_by_ip(ip).is_some()
            || snapshot.node_by_ip(ip).is_some()
            || snapshot.service_by_ip(ip).is_some()
    };
    let ranges = all.flat_map(|all| cut_at(&all, &policy_ranges(snapshot), std::iter::empty()));
    let with_address = ranges.filter_map(|range| {
        // From the end: the first addresses are those that are given first.
        let (first, last) = (number(range.first), number(range.last));
        let mut tried =
            (first..=last).rev().take(1 << 16).map(|number| address(number, range.first.is_ipv6()));
        tried.find(|ip| !is_known(*ip)).map(|ip| (range, ip))
    });
    with_address.collect()
}

/// The parts of a range.
pub(super) fn parts(snapshot: &Snapshot, range: &IpNet) -> Vec<AddressRange> {
    cut(snapshot, range, &[])
}

/// Cuts a range where a range begins or ends that a policy or a node names, or that has one of these, or an address of a
/// pod, a node or a Service.
fn cut(snapshot: &Snapshot, range: &IpNet, also: &[IpNet]) -> Vec<AddressRange> {
    let mut named = policy_ranges(snapshot);
    named.extend(snapshot.nodes().flat_map(|node| node.pod_cidrs.iter().copied()));
    named.extend(also);
    let pods = snapshot.pods().flat_map(|pod| pod.ips.iter());
    let nodes = snapshot.nodes().flat_map(|node| node.ips.iter());
    let services = snapshot.services().flat_map(|service| service.ips.iter());
    cut_at(range, &named, pods.chain(nodes).chain(services).copied())
}

fn cut_at(range: &IpNet, named: &[IpNet], single: impl Iterator<Item = IpAddr>) -> Vec<AddressRange> {
    let (first, last) = (number(range.network()), number(range.broadcast()));
    let is_v6 = matches!(range, IpNet::V6(_));
    let mut starts = BTreeSet::from([first]);
    let ends = named.iter().map(|network| (network.network(), network.broadcast()));
    for (from, to) in ends.chain(single.map(|ip| (ip, ip))).filter(|(from, _)| from.is_ipv6() == is_v6) {
        let after = number(to).checked_add(1);
        let inside = [Some(number(from)), after].into_iter().flatten();
        starts.extend(inside.filter(|start| (first..=last).contains(start)));
    }
    let starts: Vec<u128> = starts.into_iter().collect();
    let ends = starts.iter().skip(1).map(|start| start - 1).chain([last]);
    let address = |number| address(number, is_v6);
    starts
        .iter()
        .zip(ends)
        .map(|(from, to)| AddressRange { first: address(*from), last: address(to) })
        .collect()
}

/// The ranges that policies name.
fn policy_ranges(snapshot: &Snapshot) -> Vec<IpNet> {
    let mut named: Vec<IpNet> = Vec::new();
    for policy in snapshot.network_policies() {
        let rules = policy.ingress.iter().chain(&policy.egress).flatten();
        for peer in rules.flat_map(|rule| &rule.peers) {
            if let Peer::Block(block) = peer {
                named.push(block.cidr);
                named.extend(&block.except);
            }
        }
    }
    for policy in snapshot.cluster_policies() {
        for peer in policy.ingress.iter().chain(&policy.egress).flat_map(|rule| &rule.peers) {
            if let TierPeer::Networks(networks) = peer {
                named.extend(networks);
            }
        }
    }
    named
}

/// An address as a number, by which addresses of one family are in order.
fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

fn address(number: u128, is_v6: bool) -> IpAddr {
    match u32::try_from(number) {
        Ok(number) if !is_v6 => IpAddr::V4(Ipv4Addr::from(number)),
        _ => IpAddr::V6(Ipv6Addr::from(number)),
    }
}

impl AddressRange {
    /// Both as one, where this one ends just before the other.
    pub(crate) fn joined(self, next: Self) -> Option<Self> {
        let touches = self.last.is_ipv6() == next.first.is_ipv6()
            && number(self.last).checked_add(1) == Some(number(next.first));
        touches.then_some(Self { first: self.first, last: next.last })
    }

    /// As CIDRs, or, where those would be many, as the first and the last address.
    pub(crate) fn text(self) -> String {
        const MANY: usize = 4;
        let networks: Vec<String> = match (self.first, self.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                Ipv4Subnets::new(first, last, 0).take(MANY).map(|network| network.to_string()).collect()
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                Ipv6Subnets::new(first, last, 0).take(MANY).map(|network| network.to_string()).collect()
            }
            _ => Vec::new(),
        };
        if networks.is_empty() || networks.len() == MANY {
            return format!("{}-{}", self.first, self.last);
        }
        networks.join(",")
    }
}
