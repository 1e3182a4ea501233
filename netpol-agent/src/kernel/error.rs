//! Errors of loading the eBPF programs.

use std::io;

use thiserror::Error;

use super::BtfError;

/// Why the programs could not be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The kernel's types could not be read from its BTF.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// The kernel refused the object.
    #[error("the kernel refused netpol's eBPF programs: {0}")]
    Refused(String),
    /// The eBPF object lacks a map or program: agent and object are of different builds.
    #[error("the embedded eBPF object has no {0}; rebuild the agent")]
    Incomplete(&'static str),
}

/// Keeps the whole chain of causes: the last one is the error of the verifier or the system call itself.
pub(super) fn refused(error: impl Into<anyhow::Error>) -> LoadError {
    let error = error.into();
    let forbidden = error.chain().any(|cause| {
        let cause = cause.downcast_ref::<io::Error>();
        cause.is_some_and(|cause| cause.kind() == io::ErrorKind::PermissionDenied)
    });
    let hint = if forbidden { FORBIDDEN } else { "" };
    LoadError::Refused(format!("{error:#}{hint}"))
}

/// Causes that remain once [`super::preflight`] has found the capabilities.
const FORBIDDEN: &str = " (the capabilities are there: a seccomp profile without bpf(2), SELinux, kernel lockdown or, \
                         before Linux 5.11, the limit of locked memory forbids it)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_forbids_is_named() {
        let error = |kind| anyhow::Error::new(io::Error::from(kind)).context("map create");
        let told = refused(error(io::ErrorKind::PermissionDenied)).to_string();
        assert!(
            told.contains("map create: permission denied (the capabilities are there: a seccomp"),
            "{told}"
        );
        let told = refused(error(io::ErrorKind::OutOfMemory)).to_string();
        assert!(told.ends_with("map create: out of memory"), "{told}");
    }
}
