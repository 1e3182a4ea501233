//! Findings as Kubernetes Events: what takes them out of the sink's queue and hands them to the API.
//!
//! A plain `create` each, and not kube's recorder: that one takes Events about the same pod and policy for the same
//! Event, whatever their notes say, and a finding is told once anyway.

mod object;
mod rate;
mod writer;

pub(super) use writer::{EventWriter, open};
