//! Address ranges with holes, as one prefix trie.

use std::net::IpAddr;

use ipnet::IpNet;
use prefix_trie::joint::JointPrefixMap;

use crate::model::network_policy::IpBlock;

/// The union of a rule's address ranges.
///
/// Every range and every hole is a prefix of the trie, with the answer for the addresses whose longest prefix it is.
/// That answer is the same for all of them: any other range or hole that has one of them has the whole prefix.
#[derive(Debug)]
pub(super) struct IpBlockSet {
    answers: JointPrefixMap<IpNet, bool>,
}

impl IpBlockSet {
    pub(super) fn new(blocks: &[IpBlock]) -> Self {
        let mut answers = JointPrefixMap::new();
        let prefixes = blocks.iter().flat_map(|block| block.except.iter().chain([&block.cidr]));
        for prefix in prefixes {
            answers.insert(*prefix, blocks.iter().any(|block| covers(block, prefix)));
        }
        Self { answers }
    }

    pub(super) fn contains(&self, ip: IpAddr) -> bool {
        self.answers.get_lpm(&IpNet::from(ip)).is_some_and(|(_, answer)| *answer)
    }
}

fn covers(block: &IpBlock, prefix: &IpNet) -> bool {
    block.cidr.contains(prefix) && !block.except.iter().any(|hole| hole.contains(prefix))
}
