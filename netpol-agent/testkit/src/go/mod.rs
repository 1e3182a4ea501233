//! Builds programs from their Go modules with the machine's Go: Kubernetes, containerd, etcd and network plugins.
//!
//! `netpol-agent/testkit/go` has a `go.mod` and a `go.sum` for each [`Module`]: they pin the versions and the content
//! of all that is built.

mod build;
mod compiler;
mod module;

pub use compiler::{Go, is_missing};
pub use module::Module;
