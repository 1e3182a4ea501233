//! Plain values: no I/O, no kernel, no Kubernetes client.

mod expected;
mod policy;
mod veth;

pub use expected::{Denial, Expected, NotApplicable, Undecidable};
pub use policy::{PolicyDirection, PolicyKind, PolicyRef, RuleRef};
pub use veth::{Veth, Veths};
