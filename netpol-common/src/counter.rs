//! The counters of the eBPF programs. Each counter has one slot in a per-CPU array.

/// A counter. Its value is its slot in the array.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counter {
    /// Packet or ICMP error records lost because the ring buffer was full.
    PacketRingFull = 0,
    /// Drop records lost because the ring buffer was full.
    DropRingFull = 1,
    /// Drop records lost because the packet could not be read from kernel memory.
    DropUnreadable = 2,
    /// Later fragments: they carry no ports and are not recorded.
    FragmentLater = 3,
    /// Packets that are shorter than their headers require.
    Truncated = 4,
    /// IPv6 packets with more extension headers than the parser reads.
    ExtensionHeaders = 5,
    /// IP packets of an unsupported transport protocol (neither TCP, UDP, SCTP, ICMP nor ICMPv6).
    OtherProtocol = 6,
}

impl Counter {
    /// All counters, in the order of their slots.
    pub const ALL: [Self; 7] = [
        Self::PacketRingFull,
        Self::DropRingFull,
        Self::DropUnreadable,
        Self::FragmentLater,
        Self::Truncated,
        Self::ExtensionHeaders,
        Self::OtherProtocol,
    ];

    /// The number of slots in the map.
    pub const COUNT: u32 = Self::ALL.len() as u32;
}
