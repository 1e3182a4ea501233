//! Telling people: lines of text or JSON, Prometheus metrics, Hubble's API. Each sink knows the model alone.

mod compact;
mod http;
pub mod hubble;
mod json;
mod lines;
mod metrics;
mod summary;
mod words;

pub use http::{Health, serve};
pub use lines::{Format, Lines, Writer, writer};
pub use metrics::{Lost, Metrics};
pub use summary::Summary;
