//! A real API server for tests: kube-apiserver and etcd, on loopback. Both end with the process that started them.

mod etcd;
mod process;
mod server;

pub use server::{ADMIN, AGENT, ApiServer, User};
