//! Three ways to read the bytes of a packet. The parser works on any of them.

use core::mem::MaybeUninit;

use aya_ebpf::{
    helpers::{bpf_probe_read_kernel, bpf_skb_load_bytes},
    programs::TcContext,
};

/// Access to the bytes of a packet. The implementation defines where offset 0 is.
pub(crate) trait Read {
    /// Loads `size_of::<T>()` bytes at `offset`, in their order in memory. `None` if the packet ends before.
    ///
    /// `T` must be an integer or an array of integers: any bit pattern must be valid.
    fn load<T: Copy>(&self, offset: usize) -> Option<T>;
}

/// The linear part of a packet, read by direct packet access.
pub(crate) struct Linear {
    data: usize,
    end: usize,
}

impl Linear {
    #[inline(always)]
    pub(crate) fn new(context: &TcContext) -> Self {
        Self { data: context.data(), end: context.data_end() }
    }
}

impl Read for Linear {
    #[inline(always)]
    fn load<T: Copy>(&self, offset: usize) -> Option<T> {
        let start = self.data + offset;
        if start + size_of::<T>() > self.end {
            return None;
        }
        // SAFETY: the verifier has seen the check above. Headers may be misaligned for `T`. BPF loads
        // allow that on the architectures that Kubernetes runs on. Byte-wise loads would be several times slower.
        Some(unsafe { *(start as *const T) })
    }
}

/// A packet whose headers may be outside of the linear part. Each load copies its bytes.
pub(crate) struct Copied<'a>(pub(crate) &'a TcContext);

impl Read for Copied<'_> {
    #[inline(always)]
    fn load<T: Copy>(&self, offset: usize) -> Option<T> {
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: the destination has room for `size_of::<T>()` bytes.
        let result = unsafe {
            bpf_skb_load_bytes(
                self.0.skb.skb.cast(),
                offset as u32,
                value.as_mut_ptr().cast(),
                size_of::<T>() as u32,
            )
        };
        // SAFETY: the helper has filled it.
        (result == 0).then(|| unsafe { value.assume_init() })
    }
}

/// Bytes in kernel memory, up to a limit.
pub(crate) struct Kernel {
    pub(crate) start: usize,
    pub(crate) length: usize,
}

impl Read for Kernel {
    #[inline(always)]
    fn load<T: Copy>(&self, offset: usize) -> Option<T> {
        if offset + size_of::<T>() > self.length {
            return None;
        }
        kernel((self.start + offset) as *const T)
    }
}

/// Reads a value from kernel memory. `None` if the address can't be read.
#[inline(always)]
pub(crate) fn kernel<T: Copy>(address: *const T) -> Option<T> {
    // SAFETY: the helper checks the address and reports a fault as an error.
    unsafe { bpf_probe_read_kernel(address) }.ok()
}
