//! Why the kernel drops packets, and which of the reasons an enforcer of policies brings about.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// Where an enforcer made the kernel drop a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DropHook {
    /// A netfilter rule: iptables, nftables, IPVS.
    Netfilter,
    /// A TC program or filter.
    Tc,
    /// An XDP program.
    Xdp,
    /// A BPF program of a cgroup.
    Cgroup,
    /// An Open vSwitch flow.
    OpenVSwitch,
}

impl DropHook {
    /// Its name in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Netfilter => "netfilter",
            Self::Tc => "tc",
            Self::Xdp => "xdp",
            Self::Cgroup => "cgroup",
            Self::OpenVSwitch => "openvswitch",
        }
    }
}

impl fmt::Display for DropHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the running kernel calls the reasons in `kfree_skb`, by number (`enum skb_drop_reason`, Linux 5.17; those that an
/// enforcer causes came with 5.18, those of Open vSwitch with 6.6).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DropReasons(BTreeMap<u32, Arc<str>>);

impl DropReasons {
    /// The reasons by number, without the prefix `SKB_DROP_REASON_`.
    #[must_use]
    pub fn new(reasons: BTreeMap<u32, Arc<str>>) -> Self {
        Self(reasons)
    }

    /// All that are known, by number.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        self.0.iter().map(|(number, name)| (*number, &**name))
    }

    /// The name of a reason, such as `NETFILTER_DROP`; a number without a name is shown as such.
    #[must_use]
    pub fn name(&self, reason: u32) -> Arc<str> {
        if let Some(name) = self.0.get(&reason) {
            return Arc::clone(name);
        }
        match reason >> 16 {
            0 => format!("REASON_{reason}").into(),
            subsystem => format!("SUBSYSTEM_{subsystem}").into(),
        }
    }

    /// The hook of an enforcer, if the reason is one that an enforcer causes. Full queues, bad checksums, closed
    /// sockets and missing routes are no policy.
    #[must_use]
    pub fn hook(&self, reason: u32) -> Option<DropHook> {
        match &**self.0.get(&reason)? {
            "NETFILTER_DROP" => Some(DropHook::Netfilter),
            "TC_INGRESS" | "TC_EGRESS" => Some(DropHook::Tc),
            "XDP" => Some(DropHook::Xdp),
            "BPF_CGROUP_EGRESS" => Some(DropHook::Cgroup),
            // A flow without a way out, and one that says so. Errors, meters and limits are no policy.
            "OVS_DROP_LAST_ACTION" | "OVS_DROP_EXPLICIT" => Some(DropHook::OpenVSwitch),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_hooks() {
        let reasons = [
            (3, "NO_SOCKET".into()),
            (12, "NETFILTER_DROP".into()),
            (73, "TC_INGRESS".into()),
            (3 << 16 | 1, "OVS_DROP_LAST_ACTION".into()),
        ];
        let reasons = DropReasons::new(reasons.into());
        for (number, name, hook) in [
            (3, "NO_SOCKET", None),
            (12, "NETFILTER_DROP", Some(DropHook::Netfilter)),
            (73, "TC_INGRESS", Some(DropHook::Tc)),
            (99, "REASON_99", None),
            (3 << 16 | 1, "OVS_DROP_LAST_ACTION", Some(DropHook::OpenVSwitch)),
            (3 << 16 | 5, "SUBSYSTEM_3", None),
            (2 << 16 | 1, "SUBSYSTEM_2", None),
            (1 << 16, "SUBSYSTEM_1", None),
        ] {
            assert_eq!((&*reasons.name(number), reasons.hook(number)), (name, hook), "{number}");
        }
    }
}
