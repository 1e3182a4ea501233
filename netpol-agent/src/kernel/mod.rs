//! Everything that talks to the running kernel: it loads and attaches the eBPF programs, reads their records and
//! counters, watches the pod interfaces, and looks up connections in connection tracking.
//!
//! The only module with `unsafe` code.

mod btf;
mod clock;
mod conntrack;
mod error;
mod interfaces;
mod load;
mod namespaces;
mod preflight;
mod programs;
mod records;

pub use btf::{BtfError, KernelTypes};
pub use clock::monotonic_now;
pub use conntrack::Conntrack;
pub use error::LoadError;
pub use interfaces::{Hook, Hooks, InterfaceError, InterfaceEvent, InterfaceWatcher, Side};
pub use load::{LoadOptions, Loaded, load};
pub use namespaces::{Helper, HelperError, NetworkNamespace, serve};
pub use preflight::{
    PreflightError, has_tcx, own_network_namespace, preflight, raise_capabilities, raise_file_limit,
};
pub use programs::{AttachError, AttachMode, Programs};
pub use records::{Counters, KernelLog, Records};
