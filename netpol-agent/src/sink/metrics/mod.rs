//! The Prometheus metrics, and the HTTP server for metrics and health.

mod registry;
mod server;

pub use registry::Metrics;
pub use server::{Health, serve};
