//! Test programs that stand for other programs on a pod's interface, such as a CNI plugin's.
#![no_std]
#![no_main]

use aya_ebpf::{
    Global, bindings::TC_ACT_SHOT, helpers::bpf_redirect, macros::classifier, programs::TcContext,
};

/// `TCX_NEXT`.
const NEXT: i32 = -1;

/// The index of the interface to which `redirect` sends packets.
#[unsafe(no_mangle)]
static TARGET: Global<u32> = Global::new(0);

/// Does nothing. It measures the minimum cost of a program.
#[classifier]
fn pass(_context: TcContext) -> i32 {
    NEXT
}

/// Returns true for IPv4. Other packets must pass: without ARP, no packet is ever sent.
fn is_ipv4(context: &TcContext) -> bool {
    // SAFETY: the kernel hands a valid `__sk_buff` to the program.
    unsafe { (*context.skb.skb).protocol == u32::from(0x0800u16.to_be()) }
}

/// Drops all IPv4 packets.
#[classifier]
fn shoot(context: TcContext) -> i32 {
    if is_ipv4(&context) { TC_ACT_SHOT } else { NEXT }
}

/// Sends all IPv4 packets out of another interface.
#[classifier]
fn redirect(context: TcContext) -> i32 {
    if !is_ipv4(&context) {
        return NEXT;
    }
    // SAFETY: the kernel function accepts any interface index, and returns an error if there is no such interface.
    unsafe { bpf_redirect(TARGET.load(), 0) as i32 }
}

/// Required by `no_std`. The programs never panic.
#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
