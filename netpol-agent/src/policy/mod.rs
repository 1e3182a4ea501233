//! What the declared policies say of a connection.
//!
//! ```text
//! Snapshot ──► Compiler ──► Arc<Engine> ──► evaluate(Query) ──► Verdict
//!              (single owner; a change recompiles only what it touches)
//! ```
//!
//! Pods that policies cannot tell apart share a [`crate::model::PodClass`], and everything that policies say of a
//! class is worked out once: the sets of peers that it is in, and for each direction the rules that concern it, in
//! order. Judging a connection is then a walk along those rules, without allocation.

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
