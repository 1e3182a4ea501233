//! What the pipeline needs to know at its start.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{flow::Limits, model::DropReasons, verify::Clock};

/// What the pipeline needs to know at its start, and what never changes afterwards.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PipelineConfig {
    /// What the connection table holds.
    pub limits: Limits,
    /// How long before a connection a change of the cluster's state may still be on its way to those who enforce.
    pub grace: Duration,
    /// How old the knowledge of a kind of object may be, that a verdict rests on.
    pub stale_after: Duration,
    /// Inode of the host's network namespace; `None` where it could not be read.
    pub host_netns: Option<u32>,
    /// The running kernel's drop reasons.
    pub reasons: DropReasons,
    /// Ties the kernel's clock to the calendar.
    pub clock: Clock,
    /// This node's name in the cluster, where it is known.
    pub node: Option<String>,
}
