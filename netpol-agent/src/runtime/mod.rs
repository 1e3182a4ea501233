//! The wiring: the only place that starts tasks and connects stages.

mod agent;
mod cluster;
mod manifests;
mod options;
mod pipeline;
mod source;

pub use agent::run;
pub use options::{ApiOptions, Options, Source};
pub use pipeline::{Pipeline, Setup, Track};
