//! The wiring: the only place that starts tasks and connects stages.

mod agent;
mod cluster;
mod interfaces;
mod manifests;
mod options;
mod replay;
mod sinks;
mod source;

pub use agent::run;
pub use options::{ApiOptions, Options, SourceOptions};
pub use replay::replay;
