//! A real API server for tests: kube-apiserver on etcd, on loopback, gone with the process that started it.

mod binaries;
mod etcd;
mod process;
mod recipe;
mod server;

pub use binaries::{Binaries, find_or_build};
pub use server::{ADMIN, AGENT, ApiServer, User};
