//! Finds or builds Kubernetes' own programs, for a real API server and a real cluster.

mod binaries;
mod kubeconfig;

pub use binaries::{apiserver, etcd, is_missing};
pub(crate) use kubeconfig::kubeconfig;
