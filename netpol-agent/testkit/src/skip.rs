//! Skips tests that can't run on this machine.
//!
//! A test may be skipped if the machine lacks something that is not a requirement of the project, such as a kernel
//! that is new enough for a feature. Each skip is recorded here, and the test command lists all skips at its end. If a
//! feature is missing although the kernel is new enough for it, the test fails.

use std::{
    env,
    fs::OpenOptions,
    io::{self, Write as _},
    path::Path,
    thread,
};

use nix::sys::utsname::uname;

/// The environment variable that names the file for skips. The test command sets it.
pub const LIST: &str = "NETPOL_SKIPPED_TESTS";

/// Records that the test of this thread is skipped, completely or partly, and why.
///
/// # Panics
/// The skip can't be recorded. A skip must not be hidden.
pub fn skip(reason: &str) {
    let thread = thread::current();
    let test = thread.name().unwrap_or("a test");
    eprintln!("skipped: {test}: {reason}");
    if let Some(list) = env::var_os(LIST) {
        let written = append(Path::new(&list), test, reason);
        assert!(written.is_ok(), "cannot note that {test} was skipped: {written:?}");
    }
}

fn append(list: &Path, test: &str, reason: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(list)?;
    // The line is written at once, because tests run in parallel.
    file.write_all(format!("{test}: {reason}\n").as_bytes())
}

/// Returns true if the running kernel is older than a version, and records the skip. If the kernel is new enough, the
/// feature must be available.
#[must_use]
pub fn is_older_kernel(feature: &str, needed: (u32, u32)) -> bool {
    let Ok(name) = uname() else { return false };
    let release = name.release().to_string_lossy().into_owned();
    let is_older = version(&release).is_some_and(|version| version < needed);
    if is_older {
        let (major, minor) = needed;
        skip(&format!("{feature} came with Linux {major}.{minor}, and this is {release}"));
    }
    is_older
}

/// Parses the first two numbers of a kernel's release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(['.', '-']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (release, expected) in [
            ("6.18.5", Some((6, 18))),
            ("6.1.0-41-amd64", Some((6, 1))),
            ("6.6-rc1", Some((6, 6))),
            ("6", None),
            ("next", None),
        ] {
            assert_eq!(version(release), expected, "{release}");
        }
    }

    #[test]
    fn what_is_skipped_is_noted() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let list = folder.path().join("skipped");
        for (test, reason) in [("a", "no kernel"), ("b", "no network")] {
            append(&list, test, reason).expect("the list can be written");
        }
        let noted = std::fs::read_to_string(&list).expect("the list");
        assert_eq!(noted, "a: no kernel\nb: no network\n");
    }
}
