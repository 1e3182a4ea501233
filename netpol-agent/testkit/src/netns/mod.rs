//! A small Kubernetes node made of network namespaces: real interfaces, real packets, a real packet filter.
//!
//! A [`Lab`] plays one node: a network namespace of its own that forwards between the pods, each of which is a further
//! namespace on a veth pair, wired as the CNI's `ptp` plugin does (/32 and /128 addresses, the node as the gateway).
//! The machine's own namespace is never touched.
//!
//! # Nothing stays behind
//!
//! The namespaces have no name and no process: they live through file descriptors of the process that made them, so
//! the kernel takes them down, with all that is in them, when a [`Lab`] is dropped, when its process panics, is
//! interrupted or is killed. Programs started by [`Namespace::command`] die with the thread that started them.
//!
//! # Many at a time
//!
//! Every lab claims a block of addresses that no other lab on the machine has, because the kernel's tracepoints see the
//! packets of all namespaces. The claim is a socket with an abstract name, which ends with the process too.

mod address;
mod manifest;
mod namespace;
mod node;
pub mod packet;
mod pod;
mod probe;
mod raw;
mod sctp;
mod server;

pub(crate) use address::Block;
pub use namespace::Namespace;
pub use node::Lab;
pub use pod::{Pod, PodSpec, Stack};
pub use probe::{Attempt, Probe};
pub use server::Server;
