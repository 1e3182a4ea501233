//! The flags of all sinks, and how the sinks are built from them.

use anyhow::Result;

use super::{Built, events::EventArgs, hubble::HubbleArgs, lines::LineArgs, metrics::Metrics};
use crate::cluster::watch::Credentials;

/// The flags of all sinks. The metrics sink has no flags: it is always built. The agent serves the metrics itself,
/// because it serves health on the same address.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SinkArgs {
    /// The flags of the lines on standard output.
    #[command(flatten)]
    pub lines: LineArgs,
    /// The flags of the Kubernetes Events.
    #[command(flatten)]
    pub events: EventArgs,
    /// The flags of Hubble's API.
    #[command(flatten)]
    pub hubble: HubbleArgs,
}

/// What sinks may need from the agent.
#[derive(Clone, Debug)]
pub struct SinkContext {
    /// This node's name in the cluster, if it is known.
    pub node: Option<String>,
    /// The credentials for the API server, if the cluster's state comes from it.
    pub api: Option<Credentials>,
    /// The metrics in which sinks count their work.
    pub metrics: Metrics,
}

impl SinkArgs {
    /// Builds all configured sinks, metrics first.
    ///
    /// # Errors
    ///
    /// A sink can't be built: an address is already in use, certificates can't be used, or the API server is not
    /// known.
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
