//! The wiring: the only place that starts tasks and connects stages.

mod agent;
mod cluster;
mod events;
mod hubble;
mod manifests;
mod options;
mod pipeline;
mod sinks;
mod source;

pub use agent::run;
pub use options::{ApiOptions, HubbleOptions, Options, SourceOptions};
pub use pipeline::{Pipeline, Setup, Track};
