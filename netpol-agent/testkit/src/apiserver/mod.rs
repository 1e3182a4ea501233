//! A real API server for tests: kube-apiserver on etcd, on loopback, gone with the process that started it.

mod etcd;
mod process;
mod server;

pub use server::{ADMIN, AGENT, ApiServer, User};
