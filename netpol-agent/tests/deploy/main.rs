//! What installs the agent on a cluster: the chart, the manifests that are rendered from it, the alerts and the image.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests fail as tests do")]

mod alerts;
mod chart;
mod examples;
mod image;
mod objects;
