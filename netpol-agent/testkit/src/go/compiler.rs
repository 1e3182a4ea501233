//! Finds Go.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{command, skip::skip};

/// The first version that builds all modules: 1.26.
const OLDEST: (u32, u32) = (1, 26);

/// What to do about a machine without Go.
const MISSING: &str = "Go 1.26 or newer is not on PATH: unpack the archive from https://go.dev/dl to /usr/local and add \
     /usr/local/go/bin to PATH, or `go install golang.org/dl/go1.26.8@latest && go1.26.8 download` with an older Go";

/// The Go program.
#[derive(Clone, Debug)]
pub struct Go {
    path: PathBuf,
}

impl Go {
    /// Finds Go on `PATH` or in `/usr/local/go/bin`.
    ///
    /// # Errors
    /// There is none, or it is too old. The error says what to do.
    pub fn find() -> Result<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = env::split_paths(&path).chain([PathBuf::from("/usr/local/go/bin")]);
        let mut files = folders.map(|folder| folder.join("go")).filter(|file| file.is_file());
        files.find(|file| is_new_enough(file)).map(|path| Self { path }).context(MISSING)
    }

    /// The path of the program.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Returns true if Kubernetes can't be built here, and records that the test of this thread is skipped.
#[must_use]
pub fn is_missing() -> bool {
    let missing = Go::find().err();
    if let Some(error) = &missing {
        skip(&format!("it needs Kubernetes, which is built with Go; {error:#}"));
    }
    missing.is_some()
}

fn is_new_enough(file: &Path) -> bool {
    let told = command::output(command::command(file).arg("version"), "").unwrap_or_default();
    version(&told).is_some_and(|version| version >= OLDEST)
}

/// Parses the first two numbers of what `go version` prints, such as `go version go1.26.8 linux/amd64`.
fn version(told: &str) -> Option<(u32, u32)> {
    let release = told.split_whitespace().find_map(|word| word.strip_prefix("go1."))?;
    let digits: String = release.chars().take_while(char::is_ascii_digit).collect();
    Some((1, digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (told, expected) in [
            ("go version go1.26.8 linux/amd64\n", Some((1, 26))),
            ("go version go1.27rc1 linux/arm64\n", Some((1, 27))),
            ("go version go1.19.8 linux/amd64\n", Some((1, 19))),
            ("go version devel linux/amd64\n", None),
            ("", None),
        ] {
            assert_eq!(version(told), expected, "{told}");
        }
    }
}
