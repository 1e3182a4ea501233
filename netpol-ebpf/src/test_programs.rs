//! Stand-ins for what else may sit on a pod's interface, such as a CNI's own programs.
#![no_std]
#![no_main]

use aya_ebpf::{
    Global, bindings::TC_ACT_SHOT, helpers::bpf_redirect, macros::classifier, programs::TcContext,
};

/// `TCX_NEXT`.
const NEXT: i32 = -1;

/// Where `redirect` sends packets.
#[unsafe(no_mangle)]
static TARGET: Global<u32> = Global::new(0);

/// Does nothing: the floor of what a program costs.
#[classifier]
fn pass(_context: TcContext) -> i32 {
    NEXT
}

/// Whether it is IPv4: what is not (ARP) has to go its way, or no packet is ever sent.
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
    // SAFETY: the helper takes any interface index and reports one that does not exist.
    unsafe { bpf_redirect(TARGET.load(), 0) as i32 }
}

/// Demanded by `no_std`. Nothing here panics.
#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
