//! Finds or builds Kubernetes' own programs, for a real API server and a real node.

mod binaries;
mod kubeconfig;
mod recipe;

pub use binaries::{apiserver, built, etcd};
pub(crate) use kubeconfig::kubeconfig;
