//! Plain values: no I/O, no kernel, no Kubernetes client.

mod expected;
mod policy;

pub use expected::{Denial, Expected, NotApplicable, Undecidable};
pub use policy::{PolicyDirection, PolicyKind, PolicyRef, RuleRef};
