//! Reads facts about the running kernel's types from its own BTF.
//!
//! Field offsets and the numbers of drop reasons differ between kernel builds, so none of them is a constant here.

use std::{collections::BTreeMap, sync::Arc};

use btf_rs::{Btf, Type};
use netpol_common::DROP_REASON_WORDS;
use thiserror::Error;

use crate::model::DropReasons;

/// The file with the kernel's BTF (since Linux 5.2, with `CONFIG_DEBUG_INFO_BTF`).
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Why the kernel's types could not be read.
#[derive(Debug, Error)]
pub enum BtfError {
    /// The kernel has no BTF, or the file can't be read.
    #[error(
        "cannot read {VMLINUX}: {0}; netpol needs a kernel built with CONFIG_DEBUG_INFO_BTF=y (all major \
         distributions since 2020) and /sys mounted"
    )]
    Unreadable(String),
    /// The BTF lacks a structure or field that every supported kernel has.
    #[error("the kernel's BTF has no {0}; netpol does not know this kernel, please report its version")]
    Missing(String),
}

/// Field offsets in bytes, and the names of the kernel's drop reasons.
#[derive(Debug)]
pub struct KernelTypes {
    pub(super) skb_head: u32,
    pub(super) skb_tail: u32,
    pub(super) skb_network_header: u32,
    pub(super) skb_protocol: u32,
    pub(super) skb_dev: u32,
    pub(super) dev_ifindex: u32,
    pub(super) dev_net: u32,
    pub(super) net_inum: u32,
    /// The kernel's drop reasons; `None` where it gives none (before Linux 5.17).
    pub drop_reasons: Option<DropReasons>,
}

impl KernelTypes {
    /// Reads them from the running kernel.
    ///
    /// # Errors
    ///
    /// The kernel has no BTF, or its BTF lacks a structure that every kernel since 5.8 has.
    pub fn of_running_kernel() -> Result<Self, BtfError> {
        let btf = Btf::from_file(VMLINUX).map_err(|error| BtfError::Unreadable(error.to_string()))?;
        let offset = |path: &[&str]| field_offset(&btf, path);
        Ok(Self {
            skb_head: offset(&["sk_buff", "head"])?,
            skb_tail: offset(&["sk_buff", "tail"])?,
            skb_network_header: offset(&["sk_buff", "network_header"])?,
            skb_protocol: offset(&["sk_buff", "protocol"])?,
            skb_dev: offset(&["sk_buff", "dev"])?,
            dev_ifindex: offset(&["net_device", "ifindex"])?,
            dev_net: offset(&["net_device", "nd_net", "net"])?,
            net_inum: offset(&["net", "ns", "inum"])?,
            drop_reasons: drop_reasons(&btf),
        })
    }
}

/// Byte offset of a field, given by structure and path. The search includes anonymous structures and unions.
fn field_offset(btf: &Btf, path: &[&str]) -> Result<u32, BtfError> {
    let missing = || BtfError::Missing(path.join("."));
    let (structure, fields) = path.split_first().ok_or_else(missing)?;
    let mut current = btf
        .resolve_types_by_name(structure)
        .map_err(|_| missing())?
        .into_iter()
        .find(|candidate| matches!(candidate, Type::Struct(_)))
        .ok_or_else(missing)?;
    let mut bits = 0;
    for field in fields {
        let (offset, next) = member(btf, &current, field).ok_or_else(missing)?;
        bits += offset;
        current = next;
    }
    Ok(bits / 8)
}

/// Bit offset and type of a member.
fn member(btf: &Btf, of: &Type, name: &str) -> Option<(u32, Type)> {
    let (Type::Struct(structure) | Type::Union(structure)) = of else { return None };
    structure.members.iter().find_map(|member| {
        let kind = resolve(btf, member)?;
        let member_name = btf.resolve_name(member).unwrap_or_default();
        if member_name == name {
            return Some((member.bit_offset(), kind));
        }
        if !member_name.is_empty() {
            return None;
        }
        let (offset, inner) = self::member(btf, &kind, name)?;
        Some((member.bit_offset() + offset, inner))
    })
}

/// The type of a member, past typedefs and qualifiers.
fn resolve(btf: &Btf, of: &btf_rs::Member) -> Option<Type> {
    btf.chained_type_iter(of).find(|kind| {
        !matches!(kind, Type::Typedef(_) | Type::Const(_) | Type::Volatile(_) | Type::TypeTag(_))
    })
}

/// Reasons that are not a packet's loss, or that a healthy TCP connection causes many times a second.
const NO_DROP: [&str; 10] = [
    "SKB_NOT_DROPPED_YET",
    "SKB_CONSUMED",
    "CONSUMED",
    "NOT_DROPPED_YET",
    "TCP_OFOMERGE",
    "TCP_OLD_DATA",
    "TCP_OLD_ACK",
    "TCP_ZEROWINDOW",
    "UNIX_DISCONNECT",
    // Packets that are left in a socket when it is closed: one for each TCP connection (Linux 6.4).
    "QUEUE_PURGE",
];

/// One bit for each reason that gets a record: all reasons but those in [`NO_DROP`].
pub(super) fn wanted(reasons: &DropReasons) -> [u64; DROP_REASON_WORDS] {
    let mut words = [u64::MAX; DROP_REASON_WORDS];
    for (number, name) in reasons.iter() {
        if NO_DROP.contains(&name)
            && let Some(word) = words.get_mut(number as usize / 64)
        {
            *word &= !(1 << (number % 64));
        }
    }
    words
}

/// Open vSwitch's reasons for drops that a flow rule asks for, numbered within its subsystem (`enum ovs_drop_reason`,
/// net/openvswitch/drop.h). They are in the module's BTF, which does not exist before the module is loaded. New reasons
/// are added after the last.
const OPEN_VSWITCH_DROPS: [(u32, &str); 2] = [(1, "OVS_DROP_LAST_ACTION"), (3, "OVS_DROP_EXPLICIT")];

fn drop_reasons(btf: &Btf) -> Option<DropReasons> {
    let mut reasons: BTreeMap<u32, Arc<str>> = members(btf, "skb_drop_reason")?
        .into_iter()
        .filter_map(|(number, name)| {
            let short = name.strip_prefix("SKB_DROP_REASON_").unwrap_or(&name);
            (!matches!(short, "MAX" | "SUBSYS_MASK")).then(|| (number, short.into()))
        })
        .collect();
    // The upper half of a reason is the number of its subsystem, which differs between versions.
    let subsystems = members(btf, "skb_drop_reason_subsys").unwrap_or_default();
    if let Some((number, _)) = subsystems.into_iter().find(|(_, name)| name.ends_with("_OPENVSWITCH")) {
        reasons.extend(OPEN_VSWITCH_DROPS.map(|(reason, name)| (number << 16 | reason, name.into())));
    }
    Some(DropReasons::new(reasons))
}

/// The members of an enumeration, with their values.
fn members(btf: &Btf, name: &str) -> Option<Vec<(u32, String)>> {
    let list = btf.resolve_types_by_name(name).ok()?.into_iter().find_map(|kind| match kind {
        Type::Enum(list) => Some(list),
        _ => None,
    })?;
    Some(
        list.members
            .iter()
            .filter_map(|member| Some((member.val(), btf.resolve_name(member).ok()?)))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_ends_are_not_wanted() {
        let reasons = DropReasons::new(
            [(1, "SKB_CONSUMED".into()), (12, "NETFILTER_DROP".into()), (70, "QUEUE_PURGE".into())].into(),
        );
        let words = wanted(&reasons);
        for (number, expected) in [(1, false), (12, true), (70, false), (200, true)] {
            assert_eq!(words[number / 64] >> (number % 64) & 1 == 1, expected, "{number}");
        }
    }

    #[test]
    fn running_kernel() {
        let types = KernelTypes::of_running_kernel().expect("this machine's kernel has BTF");
        assert!(types.skb_head > 0 && types.dev_ifindex > 0);
        let reasons = types.drop_reasons.expect("this machine's kernel is newer than 5.17");
        for name in ["NETFILTER_DROP", "OVS_DROP_EXPLICIT"] {
            assert!(reasons.iter().any(|(_, known)| known == name), "{name}");
        }
    }
}
