//! The wiring: the only place that starts tasks and connects stages.

mod agent;
mod manifests;
mod options;
mod pipeline;

pub use agent::run;
pub use options::Options;
pub use pipeline::{Pipeline, Setup};
