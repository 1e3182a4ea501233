//! Checks what the agent needs of the machine before anything is loaded, so that the error names the remedy.

use std::os::unix::fs::MetadataExt as _;

use aya::util::KernelVersion;
use caps::{CapSet, Capability};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use thiserror::Error;

/// A machine on which the agent can't run.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PreflightError {
    /// The kernel is too old.
    #[error(
        "Linux {0} is too old: netpol needs 5.8 or newer (BPF ring buffer); drop reasons come with 5.17, \
         TCX with 6.6"
    )]
    Kernel(String),
    /// Capabilities are missing.
    #[error(
        "missing {0}: run as root, or give the container these capabilities (securityContext.capabilities.add); another \
         user than root needs them on the program's file, too (setcap)"
    )]
    Capabilities(String),
}

/// What each capability is for.
const NEEDED: [(Capability, &str); 3] = [
    (Capability::CAP_BPF, "load programs and maps"),
    (Capability::CAP_PERFMON, "read kernel memory of dropped packets"),
    (Capability::CAP_NET_ADMIN, "attach to interfaces"),
];

/// Checks the version of the running kernel and the capabilities of this process.
///
/// # Errors
///
/// The first reason why the agent can't run.
pub fn preflight() -> Result<(), PreflightError> {
    let version = KernelVersion::current().map_err(|error| PreflightError::Kernel(error.to_string()))?;
    if version < KernelVersion::new(5, 8, 0) {
        return Err(PreflightError::Kernel(format!("{version:?}")));
    }
    missing(|capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false))
}

/// Makes all capabilities effective that this thread may have. The image's binary has them as permitted ones only, so that it
/// starts even if the container runtime grants fewer. Call it before there are other threads.
pub fn raise_capabilities() {
    let permitted = caps::read(None, CapSet::Permitted).unwrap_or_default();
    // If this fails, the check for missing capabilities says which.
    let _ = caps::set(None, CapSet::Effective, &permitted);
}

/// Returns whether the running kernel has TCX (Linux 6.6).
#[must_use]
pub fn has_tcx() -> bool {
    KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(6, 6, 0))
}

/// `CAP_SYS_ADMIN` contains `CAP_BPF` and `CAP_PERFMON` (capabilities(7)).
fn missing(has: impl Fn(Capability) -> bool) -> Result<(), PreflightError> {
    let contained = |capability| capability != Capability::CAP_NET_ADMIN && has(Capability::CAP_SYS_ADMIN);
    let missing: Vec<String> = NEEDED
        .iter()
        .filter(|(capability, _)| !has(*capability) && !contained(*capability))
        .map(|(capability, purpose)| format!("{capability} ({purpose})"))
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(PreflightError::Capabilities(missing.join(", "))) }
}

/// Inode number of this process' network namespace; `None` if /proc can't be read.
#[must_use]
pub fn own_network_namespace() -> Option<u32> {
    std::fs::metadata("/proc/self/ns/net").ok().and_then(|meta| u32::try_from(meta.ino()).ok())
}

/// Raises the limit of open files to the hard limit: an interface that is watched inside its pod takes four files.
///
/// # Errors
///
/// The system refuses; the limit stays as it is.
pub fn raise_file_limit() -> nix::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities() {
        use Capability::{CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON, CAP_SYS_ADMIN};
        for (held, message) in [
            (&[CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN][..], ""),
            (&[CAP_SYS_ADMIN, CAP_NET_ADMIN], ""),
            (&[CAP_SYS_ADMIN], "CAP_NET_ADMIN (attach to interfaces)"),
            (&[CAP_NET_ADMIN, CAP_BPF], "CAP_PERFMON (read kernel memory of dropped packets)"),
            (
                &[],
                "CAP_BPF (load programs and maps), CAP_PERFMON (read kernel memory of dropped packets), CAP_NET_ADMIN \
                 (attach to interfaces)",
            ),
        ] {
            let result = missing(|capability| held.contains(&capability));
            let expected = if message.is_empty() {
                Ok(())
            } else {
                Err(PreflightError::Capabilities(message.to_owned()))
            };
            assert_eq!(result, expected, "{held:?}");
        }
    }
}
