//! The device of a packet, and the network namespace of the device.

use crate::{
    config,
    read::{Kernel, kernel},
};

/// Returns the interface index and the network namespace of a packet's device. `skb->dev` shares its memory with other
/// data while a packet is in a socket's queue. Then the reads fail, and both are unknown.
#[inline(always)]
pub(crate) fn of(skb: &Kernel) -> Option<(u32, u32)> {
    let device: usize = field(skb, config::SKB_DEV.load())?;
    if device == 0 {
        return None;
    }
    let ifindex = field(&Kernel { start: device, length: usize::MAX }, config::DEV_IFINDEX.load())?;
    Some((ifindex, namespace(device)?))
}

/// Returns the kernel address of a packet's device. It identifies the device as long as the device exists; an interface
/// index does so only within its network namespace. `skb` is the address of the kernel's structure.
#[inline(always)]
pub(crate) fn address(skb: usize) -> usize {
    field(&Kernel { start: skb, length: usize::MAX }, config::SKB_DEV.load()).unwrap_or_default()
}

/// Returns the inode number of the network namespace of a device.
#[inline(always)]
pub(crate) fn namespace(device: usize) -> Option<u32> {
    let net: usize = field(&Kernel { start: device, length: usize::MAX }, config::DEV_NET.load())?;
    field(&Kernel { start: net, length: usize::MAX }, config::NET_INUM.load())
}

/// Reads a field of a structure in kernel memory.
#[inline(always)]
pub(crate) fn field<T: Copy>(structure: &Kernel, offset: u32) -> Option<T> {
    kernel((structure.start + offset as usize) as *const T)
}
