//! The policy engine: it computes the verdict that the declared policies give for a connection.
//!
//! ```text
//! Snapshot ──► Compiler ──► Arc<Engine> ──► evaluate(Query) ──► Verdict
//!              (single owner; a change recompiles only what it touches)
//! ```
//!
//! Pods that policies can't distinguish share a [`crate::model::PodClass`]. The compiler computes once per class the
//! peer sets that contain it, and for each direction the rules that apply to it, in the order of evaluation.
//! Evaluating a connection then iterates over those rules, without allocating memory.

mod caveat;
mod class_table;
mod cluster_view;
mod compiled_pod_class;
mod compiler;
mod direction_verdict;
mod engine;
mod ip_block_set;
mod matrix;
mod original_address;
mod peers;
mod policies;
mod port_boundaries;
mod ports;
mod query;
mod rule;
mod rule_endpoint;
mod selector_index;
mod tiers;
mod verdict;

pub use caveat::{Caveat, Caveats};
pub use cluster_view::ClusterView;
pub use compiler::Compiler;
pub use direction_verdict::{DecidedBy, DirectionVerdict};
pub use engine::Engine;
pub use matrix::{Cell, Matrix, group_pods};
pub use query::{ConnectionPeer, Query};
pub use rule::{CompiledRule, CompiledTierRule, Mismatch};
pub use verdict::Verdict;
