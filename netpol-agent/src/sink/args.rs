//! All sinks, from flags to what is built.

use anyhow::Result;

use super::{Built, events::EventArgs, hubble::HubbleArgs, lines::LineArgs, metrics::Metrics};
use crate::cluster::watch::Credentials;

/// The flags of all sinks. Metrics are always there; where they are served is the agent's own matter, for health is served
/// beside them.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SinkArgs {
    /// Lines on standard output.
    #[command(flatten)]
    pub lines: LineArgs,
    /// Kubernetes Events.
    #[command(flatten)]
    pub events: EventArgs,
    /// Hubble's API.
    #[command(flatten)]
    pub hubble: HubbleArgs,
}

/// What sinks may need to know of the agent.
#[derive(Clone, Debug)]
pub struct SinkContext {
    /// This node's name in the cluster, where it is known.
    pub node: Option<String>,
    /// The API server, where the cluster's state comes from it.
    pub api: Option<Credentials>,
    /// Where sinks count what they do.
    pub metrics: Metrics,
}

impl SinkArgs {
    /// Builds all sinks that were asked for, metrics first.
    ///
    /// # Errors
    ///
    /// One of them can't be had: an address that is taken, certificates that can't be used, an unknown API server.
    pub async fn build(self, context: &SinkContext) -> Result<Vec<Built>> {
        let Self { lines, events, hubble } = self;
        let built = [
            Some(Built::new(context.metrics.clone())),
            lines.build()?,
            events.build(context).await?,
            hubble.build(context).await?,
        ];
        Ok(built.into_iter().flatten().collect())
    }
}
