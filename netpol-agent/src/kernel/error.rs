//! Why the programs are not in the kernel.

use thiserror::Error;

use super::BtfError;

/// Why the programs could not be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The kernel's types are unknown.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// The kernel refused the object.
    #[error("the kernel refused netpol's eBPF programs: {0}")]
    Refused(String),
    /// The object lacks something: agent and object do not fit.
    #[error("the embedded eBPF object has no {0}; rebuild the agent")]
    Incomplete(&'static str),
}

/// Keeps the whole chain of causes: the last one is the verifier's or the system call's own word.
pub(super) fn refused(error: impl Into<anyhow::Error>) -> LoadError {
    LoadError::Refused(format!("{:#}", error.into()))
}
