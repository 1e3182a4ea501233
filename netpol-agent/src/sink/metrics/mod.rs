//! Prometheus metrics, and the server for them and for health.

mod registry;
mod server;

pub use registry::Metrics;
pub use server::{Health, serve};
