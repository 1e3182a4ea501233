//! Connects the parts of the agent and starts their tasks. No other module starts tasks of the agent.

mod agent;
mod cluster;
mod interfaces;
mod manifests;
mod options;
mod replay;
mod sinks;
mod source;

pub use agent::run;
pub use options::{ApiOptions, NamespaceOptions, Options, SourceOptions};
pub use replay::replay;
