//! Counters that the programs keep in a per-CPU array, one slot each.

/// What is counted; the value is the slot.
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
    /// Packets that ended before their headers did.
    Truncated = 4,
    /// IPv6 packets with more extension headers than the parser follows.
    ExtensionHeaders = 5,
    /// IP packets of a transport protocol that is not followed (neither TCP, UDP, SCTP, ICMP nor ICMPv6).
    OtherProtocol = 6,
}

impl Counter {
    /// All of them, in the order of their slots.
    pub const ALL: [Self; 7] = [
        Self::PacketRingFull,
        Self::DropRingFull,
        Self::DropUnreadable,
        Self::FragmentLater,
        Self::Truncated,
        Self::ExtensionHeaders,
        Self::OtherProtocol,
    ];

    /// Slots that the map needs.
    pub const COUNT: u32 = Self::ALL.len() as u32;
}
