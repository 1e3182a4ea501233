//! The test environment of netpol's tests, demo and benchmarks: pods in network namespaces, a real API server, a real
//! Kubernetes cluster, the agent as a process, and the tools that they need.
//!
//! This crate does not link the agent. It starts the agent as a program, as users do.

pub mod agent;
pub mod apiserver;
pub mod cache;
pub mod cluster;
mod command;
pub mod confined;
pub mod demo;
pub mod go;
pub mod helm;
pub mod http;
pub mod image;
pub mod kubernetes;
pub mod manifest;
pub mod metrics;
pub mod netns;
pub mod networks;
pub mod skip;
pub mod soak;
pub mod wait;

use std::path::Path;

/// The root folder of the workspace.
#[must_use]
pub fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}
