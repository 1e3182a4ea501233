//! The kernel's drop reasons, and which of them a policy enforcer causes.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// The hook at which an enforcer made the kernel drop a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DropHook {
    /// A netfilter rule (iptables, nftables, IPVS).
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
    /// Returns the name in output.
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

/// The running kernel's names for the drop reasons in `kfree_skb`, by number.
///
/// `enum skb_drop_reason` exists since Linux 5.17. The reasons that enforcers cause were added in 5.18, those of Open
/// vSwitch in 6.6.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DropReasons(BTreeMap<u32, Arc<str>>);

impl DropReasons {
    /// Creates the table from names by number, without the prefix `SKB_DROP_REASON_`.
    #[must_use]
    pub fn new(reasons: BTreeMap<u32, Arc<str>>) -> Self {
        Self(reasons)
    }

    /// Returns all known reasons, by number.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        self.0.iter().map(|(number, name)| (*number, &**name))
    }

    /// Returns the name of a reason, such as `NETFILTER_DROP`. A reason without a known name is shown as a number.
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

    /// Returns the hook of the enforcer if the reason is one that enforcers cause. Full queues, bad checksums, closed
    /// sockets and missing routes are not caused by a policy.
    #[must_use]
    pub fn hook(&self, reason: u32) -> Option<DropHook> {
        match &**self.0.get(&reason)? {
            "NETFILTER_DROP" => Some(DropHook::Netfilter),
            "TC_INGRESS" | "TC_EGRESS" => Some(DropHook::Tc),
            "XDP" => Some(DropHook::Xdp),
            "BPF_CGROUP_EGRESS" => Some(DropHook::Cgroup),
            // The flow has no output action, or an explicit drop action. Errors, meters and limits are not caused by a
            // policy.
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
