//! Telling people: lines of text or JSON, Prometheus metrics, Kubernetes Events, Hubble's API. Each sink knows the model
//! alone.

mod compact;
mod event;
mod events;
mod http;
pub mod hubble;
mod json;
mod lines;
mod metrics;
mod note;
mod summary;
mod words;

pub use event::Event;
pub use events::{Events, events};
pub use http::{Health, serve};
pub use lines::{Format, Lines, Writer, writer};
pub use metrics::{Lost, Metrics};
pub use summary::Summary;
