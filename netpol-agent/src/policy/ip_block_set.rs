//! The `ipBlock`s of a rule (CIDRs with `except` CIDRs), as one prefix trie.

use std::net::IpAddr;

use ipnet::IpNet;
use prefix_trie::joint::JointPrefixMap;

use crate::model::network_policy::IpBlock;

/// The union of a rule's address ranges: the `ipBlock`s of a NetworkPolicy, or the `networks` of a cluster-wide
/// policy.
///
/// Every CIDR and every `except` CIDR is a prefix in the trie. Its value says whether the union contains the addresses
/// whose longest matching prefix it is. The value is the same for all of these addresses: any other CIDR or `except`
/// CIDR that contains one of them contains the whole prefix.
#[derive(Debug)]
pub(super) struct IpBlockSet {
    prefixes: JointPrefixMap<IpNet, bool>,
}

impl IpBlockSet {
    pub(super) fn new(blocks: &[IpBlock]) -> Self {
        let mut prefixes = JointPrefixMap::new();
        let cidrs = blocks.iter().flat_map(|block| block.except.iter().chain([&block.cidr]));
        for prefix in cidrs {
            prefixes.insert(*prefix, blocks.iter().any(|block| covers(block, prefix)));
        }
        Self { prefixes }
    }

    pub(super) fn contains(&self, ip: IpAddr) -> bool {
        self.prefixes.get_lpm(&IpNet::from(ip)).is_some_and(|(_, contained)| *contained)
    }
}

fn covers(block: &IpBlock, prefix: &IpNet) -> bool {
    block.cidr.contains(prefix) && !block.except.iter().any(|except| except.contains(prefix))
}
