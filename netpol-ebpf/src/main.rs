//! netpol's eBPF programs. They only observe packets. The TC programs always return `TCX_NEXT`, so they never change
//! what happens to a packet. The drop program only reads.
#![no_std]
#![no_main]

mod config;
mod device;
mod drops;
mod emit;
mod interface;
mod maps;
mod parse;
mod read;

use aya_ebpf::{
    macros::{btf_tracepoint, classifier},
    programs::{BtfTracePointContext, TcContext},
};
use netpol_common::Direction;

/// `TCX_NEXT`, which is also `TC_ACT_UNSPEC` (include/uapi/linux/bpf.h): continue as if this program were not
/// attached.
const NEXT: i32 = -1;

/// Packets from the pod: TC ingress of the host end, or egress of the pod's own end.
#[classifier]
fn netpol_from_pod(context: TcContext) -> i32 {
    interface::observe(&context, Direction::FromPod);
    NEXT
}

/// Packets to the pod: TC ingress of the pod's own end, or egress of the host end.
#[classifier]
fn netpol_to_pod(context: TcContext) -> i32 {
    interface::observe(&context, Direction::ToPod);
    NEXT
}

/// Packets that leave the node: TC egress of an interface that does not lead into a pod.
#[classifier]
fn netpol_exit(context: TcContext) -> i32 {
    interface::observe_exit(&context);
    NEXT
}

/// The tracepoint for dropped packets: `trace_kfree_skb(skb, location, reason)`.
#[btf_tracepoint(function = "kfree_skb")]
fn netpol_kfree_skb(context: BtfTracePointContext) -> i32 {
    drops::try_record(&context);
    0
}

/// Required by `no_std`. The programs never panic: the kernel's verifier would reject the loop.
#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

/// The licence. Kernel functions that are marked `gpl_only` (`bpf_probe_read_kernel`) require a compatible one.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
