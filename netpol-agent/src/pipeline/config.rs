//! The pipeline's configuration.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{flow::Limits, model::DropReasons, verify::Clock};

/// The pipeline's configuration. It never changes after the start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PipelineConfig {
    /// The limits of the flow table.
    pub limits: Limits,
    /// The grace period: how long a change of the cluster state may take to reach the enforcers.
    pub grace: Duration,
    /// The maximum age of the state of a kind of object that a verdict depends on.
    pub stale_after: Duration,
    /// Inode of the host's network namespace; `None` if it could not be read.
    pub host_netns: Option<u32>,
    /// The running kernel's drop reasons.
    pub reasons: DropReasons,
    /// Converts the kernel's clock to the wall clock.
    pub clock: Clock,
    /// This node's name in the cluster; `None` if it is not known.
    pub node: Option<String>,
}
