//! The records that the eBPF programs send to the agent through the ring buffer, oldest first.

/// The version of the layouts in this file. A reader checks it first.
pub const ABI_VERSION: u8 = 2;

/// The type of a record, which follows the [`RecordHead`].
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// A [`PacketRecord`].
    Packet = 1,
    /// An [`IcmpErrorRecord`].
    IcmpError = 2,
    /// A [`DropRecord`].
    Drop = 3,
}

/// The direction in which a packet crossed an interface.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the pod: TC ingress of the host end, or egress of the pod's own end.
    FromPod = 1,
    /// To the pod: TC ingress of the pod's own end, or egress of the host end.
    ToPod = 2,
    /// Out of the node: TC egress of an interface that does not lead into a pod.
    OutOfNode = 3,
}

/// TCP header flags, byte 13 of the header (RFC 9293, section 3.1).
pub mod tcp {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers: the opening of a connection.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// Push function.
    pub const PSH: u8 = 0x08;
    /// The acknowledgment number is significant.
    pub const ACK: u8 = 0x10;
}

/// The start of each record.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct RecordHead {
    /// Nanoseconds of `CLOCK_MONOTONIC` (`bpf_ktime_get_ns`).
    pub time_ns: u64,
    /// Index of the interface (`skb->dev`) in its network namespace. For a drop, 0 if the packet has no device.
    pub ifindex: u32,
    /// Inode number of that network namespace. 0 if unknown.
    pub netns: u32,
    /// [`ABI_VERSION`].
    pub version: u8,
    /// A [`RecordKind`].
    pub kind: u8,
    /// A [`Direction`]; 0 for a drop.
    pub direction: u8,
    /// Zero.
    pub padding: u8,
    /// Zero.
    pub padding_end: u32,
}

/// The addresses, ports and protocol of a packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct FlowTuple {
    /// Source address, with its bytes as in the packet. IPv4 uses the first word, and the others are zero.
    pub source: [u32; 4],
    /// Destination address, in the same form.
    pub destination: [u32; 4],
    /// Source port. For an ICMP echo, the identifier.
    pub source_port: u16,
    /// Destination port. For an ICMP echo, the identifier.
    pub destination_port: u16,
    /// IP protocol number of the packet, after IPv6 extension headers.
    pub protocol: u8,
    /// IP version: 4 or 6.
    pub family: u8,
    /// Zero.
    pub padding: u16,
}

/// A packet at a pod's interface that opens, answers or ends a connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct PacketRecord {
    /// The time, the interface and the direction.
    pub head: RecordHead,
    /// The addresses, ports and protocol.
    pub tuple: FlowTuple,
    /// TCP sequence number, or initiate tag of an SCTP INIT.
    pub sequence: u32,
    /// TCP acknowledgment number, or verification tag of SCTP.
    pub acknowledgment: u32,
    /// The number of packets that this record represents: 1, or for UDP and ICMP the packets since the last record of
    /// this tuple.
    pub packets: u32,
    /// The bytes of these packets, including link-layer headers.
    pub bytes: u32,
    /// TCP flags.
    pub tcp_flags: u8,
    /// ICMP type, or type of the first SCTP chunk.
    pub message: u8,
    /// ICMP code.
    pub code: u8,
    /// Zero.
    pub padding: u8,
    /// Zero.
    pub padding_end: u32,
}

/// An ICMP or ICMPv6 error, with the packet that caused it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct IcmpErrorRecord {
    /// The time, the interface and the direction.
    pub head: RecordHead,
    /// The tuple of the error packet. Its source is the host that reports the error.
    pub tuple: FlowTuple,
    /// The tuple of the packet that is quoted in the error. Its source is the destination of the error.
    pub quoted: FlowTuple,
    /// TCP sequence number of the quoted packet.
    pub quoted_sequence: u32,
    /// ICMP type.
    pub message: u8,
    /// ICMP code.
    pub code: u8,
    /// Zero.
    pub padding: u16,
}

/// A packet that the kernel dropped.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct DropRecord {
    /// The time and the interface.
    pub head: RecordHead,
    /// The addresses, ports and protocol.
    pub tuple: FlowTuple,
    /// Kernel address of the code that dropped it.
    pub location: u64,
    /// `enum skb_drop_reason` of the running kernel. 0 if the kernel provides no reason (before 5.17).
    pub reason: u32,
    /// TCP sequence number, or initiate tag of an SCTP INIT.
    pub sequence: u32,
    /// TCP acknowledgment number, or verification tag of SCTP.
    pub acknowledgment: u32,
    /// The number of drops that this record represents: this one and those of the same tuple and reason since the last
    /// record.
    pub count: u32,
    /// TCP flags.
    pub tcp_flags: u8,
    /// ICMP type, or type of the first SCTP chunk.
    pub message: u8,
    /// ICMP code.
    pub code: u8,
    /// Zero.
    pub padding: u8,
    /// Zero. This is a separate field because an odd number of bytes would be cleared one by one.
    pub padding_end: u32,
}

const _: () = {
    assert!(size_of::<RecordHead>() == 24);
    assert!(size_of::<FlowTuple>() == 40);
    assert!(size_of::<PacketRecord>() == 88);
    assert!(size_of::<IcmpErrorRecord>() == 112);
    assert!(size_of::<DropRecord>() == 96);
    assert!(align_of::<PacketRecord>() == 8);
    assert!(align_of::<IcmpErrorRecord>() == 8);
    assert!(align_of::<DropRecord>() == 8);
};
