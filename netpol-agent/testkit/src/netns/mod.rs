//! A small Kubernetes node made of network namespaces: real interfaces, real packets, a real packet filter.
//!
//! A [`Lab`] represents one node: a network namespace that forwards between the pods. Each pod is another namespace on
//! a veth pair, set up as the CNI's `ptp` plugin does (/32 and /128 addresses, the node as the gateway). The machine's
//! own namespace is never changed.
//!
//! # Clean-up
//!
//! The namespaces have no name and no process. They exist only through file descriptors of the process that created
//! them. So the kernel removes them and everything in them when a [`Lab`] is dropped, and also when its process
//! panics, is interrupted or is killed. Programs started by [`Namespace::command`] are killed when the thread that
//! started them ends.
//!
//! # Several labs at the same time
//!
//! Each lab claims a block of addresses that no other lab on the machine has, because the kernel's tracepoints observe
//! the packets of all namespaces. The claim is a socket with an abstract name, which also ends with the process.

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
