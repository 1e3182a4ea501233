//! Tests that can't run here.
//!
//! A test may be skipped where the machine lacks something that the project does not promise to need, such as a kernel that
//! is older than a feature. It says so here, so that the test command lists it at its end. A feature that is missing
//! although the kernel is new enough for it is no reason to skip: then the test fails.

use std::{
    env,
    fs::OpenOptions,
    io::{self, Write as _},
    path::Path,
    thread,
};

use nix::sys::utsname::uname;

/// The file to which skips are written, where the test command wants them.
pub const LIST: &str = "NETPOL_SKIPPED_TESTS";

/// Notes that the test of this thread does not run, or not all of it, and why.
///
/// # Panics
/// The list can't be written: a skip that nobody hears of is none.
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
    // In one piece: tests run side by side.
    file.write_all(format!("{test}: {reason}\n").as_bytes())
}

/// Whether the running kernel is older than a version; the test is then skipped. Where it is not, the feature has to be
/// there.
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

/// The first two numbers of a kernel's release.
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
