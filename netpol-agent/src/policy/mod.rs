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

mod blocks;
mod compiler;
mod end;
mod engine;
mod judgement;
mod matrix;
mod note;
mod peers;
mod policies;
mod ports;
mod profile;
mod query;
mod rule;
mod selector_index;
mod tiers;
mod translation;
mod verdict;

pub use compiler::Compiler;
pub use engine::Engine;
pub use judgement::{DecidedBy, Judgement};
pub use matrix::{Cell, Matrix};
pub use note::{Note, Notes};
pub use query::{Party, Query};
pub use rule::{Mismatch, Rule, TierRule};
pub use verdict::Verdict;
