//! Address ranges, each with how many name it.

use std::net::IpAddr;

use ipnet::IpNet;
use prefix_trie::joint::JointPrefixMap;

/// Address ranges.
#[derive(Clone, Debug)]
pub(super) struct CidrSet(JointPrefixMap<IpNet, usize>);

impl Default for CidrSet {
    fn default() -> Self {
        Self(JointPrefixMap::new())
    }
}

impl CidrSet {
    pub(super) fn add(&mut self, range: IpNet) {
        let named = self.0.get(&range).copied().unwrap_or_default();
        self.0.insert(range, named + 1);
    }

    pub(super) fn remove(&mut self, range: IpNet) {
        match self.0.get(&range).copied().unwrap_or_default() {
            0 | 1 => drop(self.0.remove(&range)),
            named => drop(self.0.insert(range, named - 1)),
        }
    }

    pub(super) fn contains(&self, ip: IpAddr) -> bool {
        self.0.get_lpm(&IpNet::from(ip)).is_some()
    }
}
