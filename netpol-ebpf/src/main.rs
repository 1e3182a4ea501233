//! netpol's eBPF programs. They collect facts and decide nothing: a TC program always answers "next", so that a
//! packet's fate is what it would have been without it, and the drop program only reads.
#![no_std]
#![no_main]

mod config;
mod drops;
mod emit;
mod maps;
mod parse;
mod read;
mod veth;

use aya_ebpf::{
    macros::{btf_tracepoint, classifier},
    programs::{BtfTracePointContext, TcContext},
};
use netpol_common::Direction;

/// `TCX_NEXT`, which is also `TC_ACT_UNSPEC` (include/uapi/linux/bpf.h): go on as if this program were not there.
const NEXT: i32 = -1;

/// TC ingress of a veth's host end: packets that come out of the pod.
#[classifier]
fn netpol_from_pod(context: TcContext) -> i32 {
    veth::observe(&context, Direction::FromPod);
    NEXT
}

/// TC egress of a veth's host end: packets on their way into the pod.
#[classifier]
fn netpol_to_pod(context: TcContext) -> i32 {
    veth::observe(&context, Direction::ToPod);
    NEXT
}

/// The kernel freed a packet that nobody wanted: `trace_kfree_skb(skb, location, reason)`.
#[btf_tracepoint(function = "kfree_skb")]
fn netpol_kfree_skb(context: BtfTracePointContext) -> i32 {
    drops::try_record(&context);
    0
}

/// Demanded by `no_std`. Nothing here panics; the loop would be refused by the kernel's verifier.
#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

/// helpers that are marked `gpl_only` (`bpf_probe_read_kernel`) need a compatible licence string.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
