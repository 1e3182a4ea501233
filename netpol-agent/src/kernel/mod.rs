//! The running kernel: loading and attaching the eBPF programs, their records and counters, the pod interfaces.
//!
//! The only module with `unsafe` code.

mod btf;
mod clock;
mod conntrack;
mod error;
mod interfaces;
mod load;
mod preflight;
mod programs;
mod records;

pub use btf::{BtfError, KernelTypes};
pub use clock::monotonic_now;
pub use conntrack::Conntrack;
pub use error::LoadError;
pub use interfaces::{InterfaceError, InterfaceEvent, InterfaceWatcher};
pub use load::{LoadOptions, Loaded, load};
pub use preflight::{PreflightError, own_network_namespace, preflight, raise_file_limit};
pub use programs::{AttachError, AttachMode, Programs};
pub use records::{Counters, KernelLog, Records};
