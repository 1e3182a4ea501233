//! Loading the embedded eBPF object into the kernel.

use aya::{Btf, Ebpf, EbpfLoader, include_bytes_aligned, programs::BtfTracePoint};

use crate::model::DropReasons;

use super::{
    BtfError, Counters, KernelLog, KernelTypes, LoadError, Programs, Records,
    btf::wanted,
    error::refused,
    programs::{AttachMode, DROP_PROGRAM},
};

/// The object file, built from `netpol-ebpf` by the build script.
static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/netpol"));

/// Options for loading the programs.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// Size of the ring buffer in bytes: a power of two and a multiple of the page size.
    pub ring_bytes: u32,
    /// Whether the programs write log lines.
    pub debug: bool,
    /// How to attach; `None` means TCX where the kernel has it, else clsact.
    pub attach_mode: Option<AttachMode>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { ring_bytes: 2 << 20, debug: false, attach_mode: None }
    }
}

/// The parts of the loaded object; each has its own owner.
pub struct Loaded {
    /// The TC programs, loaded and not yet attached.
    pub programs: Programs,
    /// The records that they write.
    pub records: Records,
    /// Their counters.
    pub counters: Counters,
    /// The kernel's drop reasons; `None` where it gives none (before Linux 5.17).
    pub drop_reasons: Option<DropReasons>,
    /// Their log lines, with [`LoadOptions::debug`].
    pub log: Option<KernelLog>,
}

/// Loads the programs. The one that watches drops belongs to no interface, and is attached at once.
///
/// # Errors
///
/// No BTF, missing privileges, or a kernel that lacks what the programs need.
pub fn load(options: LoadOptions) -> Result<Loaded, LoadError> {
    let types = KernelTypes::of_running_kernel()?;
    let mut ebpf = load_object(&types, options)?;
    attach_drops(&mut ebpf)?;
    let records = ebpf.take_map("RECORDS").ok_or(LoadError::Incomplete("map RECORDS"))?;
    let counters = ebpf.take_map("COUNTERS").ok_or(LoadError::Incomplete("map COUNTERS"))?;
    give_back_memory();
    let log = if options.debug { Some(KernelLog::new(&mut ebpf).map_err(refused)?) } else { None };
    Ok(Loaded {
        records: Records::new(records).map_err(refused)?,
        counters: Counters::new(counters).map_err(refused)?,
        drop_reasons: types.drop_reasons,
        log,
        programs: Programs::new(ebpf, options.attach_mode)?,
    })
}

fn load_object(types: &KernelTypes, options: LoadOptions) -> Result<Ebpf, LoadError> {
    let wanted = types.drop_reasons.as_ref().map_or([u64::MAX; _], wanted);
    let has_reason = u8::from(types.drop_reasons.is_some());
    let log_level: u8 = if options.debug { aya_log::Level::Trace as u8 } else { 0 };
    EbpfLoader::new()
        .override_global("HAS_DROP_REASON", &has_reason, true)
        .override_global("DROP_REASONS", &wanted, true)
        .override_global("SKB_HEAD", &types.skb_head, true)
        .override_global("SKB_TAIL", &types.skb_tail, true)
        .override_global("SKB_NETWORK_HEADER", &types.skb_network_header, true)
        .override_global("SKB_PROTOCOL", &types.skb_protocol, true)
        .override_global("SKB_DEV", &types.skb_dev, true)
        .override_global("DEV_IFINDEX", &types.dev_ifindex, true)
        .override_global("DEV_NET", &types.dev_net, true)
        .override_global("NET_INUM", &types.net_inum, true)
        .override_global(aya_log::LEVEL, &log_level, false)
        .map_max_entries("RECORDS", options.ring_bytes)
        .load(OBJECT)
        .map_err(refused)
}

fn attach_drops(ebpf: &mut Ebpf) -> Result<(), LoadError> {
    let btf = Btf::from_sys_fs().map_err(|error| BtfError::Unreadable(error.to_string()))?;
    let program: &mut BtfTracePoint = ebpf
        .program_mut(DROP_PROGRAM)
        .ok_or(LoadError::Incomplete("program netpol_kfree_skb"))?
        .try_into()
        .map_err(refused)?;
    program.load("kfree_skb", &btf).map_err(refused)?;
    program.attach().map_err(refused)?;
    Ok(())
}

/// Returns freed memory to the system: reading the kernel's types takes tens of megabytes, and the allocator would keep
/// them.
fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) has no preconditions.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}
