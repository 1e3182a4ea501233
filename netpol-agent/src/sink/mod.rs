//! Telling people: lines of text or JSON, Prometheus metrics, Kubernetes Events, Hubble's API. Each sink knows the model
//! alone.

mod compact;
mod event;
mod event_message;
mod events;
mod format;
mod http;
pub mod hubble;
mod json;
mod lines;
mod metrics;
mod summary;

pub use event::PodEvent;
pub use events::{Events, events};
pub use http::{Health, serve};
pub use lines::{Format, LineWriter, Lines, writer};
pub use metrics::{Lost, Metrics};
pub use summary::Summary;
