//! The configuration of the programs. The agent sets these values before it loads the programs. They are constants for
//! the verifier, so a branch that the running kernel or the configuration excludes costs nothing.

use aya_ebpf::Global;
use netpol_common::DROP_REASON_WORDS;

/// The shortest time between two records of one UDP or ICMP tuple, in nanoseconds.
#[unsafe(no_mangle)]
pub(crate) static REFRESH_NS: Global<u64> = Global::new(5_000_000_000);

/// The shortest time between two records of one dropped tuple and reason, in nanoseconds.
#[unsafe(no_mangle)]
pub(crate) static DROP_REFRESH_NS: Global<u64> = Global::new(500_000_000);

/// 1 if `kfree_skb` has a third argument, the drop reason (Linux 5.17), otherwise 0.
#[unsafe(no_mangle)]
pub(crate) static HAS_DROP_REASON: Global<u8> = Global::new(0);

/// One bit for each core drop reason: 1 if drops with the reason are recorded.
#[unsafe(no_mangle)]
pub(crate) static DROP_REASONS: Global<[u64; DROP_REASON_WORDS]> = Global::new([u64::MAX; DROP_REASON_WORDS]);

/// Offset of `sk_buff.head`, in bytes.
#[unsafe(no_mangle)]
pub(crate) static SKB_HEAD: Global<u32> = Global::new(0);

/// Offset of `sk_buff.tail`: the end of the linear data, relative to `head`.
#[unsafe(no_mangle)]
pub(crate) static SKB_TAIL: Global<u32> = Global::new(0);

/// Offset of `sk_buff.network_header`: the start of the IP header, relative to `head`.
#[unsafe(no_mangle)]
pub(crate) static SKB_NETWORK_HEADER: Global<u32> = Global::new(0);

/// Offset of `sk_buff.protocol`: the EtherType in network byte order.
#[unsafe(no_mangle)]
pub(crate) static SKB_PROTOCOL: Global<u32> = Global::new(0);

/// Offset of `sk_buff.dev`.
#[unsafe(no_mangle)]
pub(crate) static SKB_DEV: Global<u32> = Global::new(0);

/// Offset of `net_device.ifindex`.
#[unsafe(no_mangle)]
pub(crate) static DEV_IFINDEX: Global<u32> = Global::new(0);

/// Offset of `net_device.nd_net.net`.
#[unsafe(no_mangle)]
pub(crate) static DEV_NET: Global<u32> = Global::new(0);

/// Offset of `net.ns.inum`.
#[unsafe(no_mangle)]
pub(crate) static NET_INUM: Global<u32> = Global::new(0);
