//! Objects from files, as `kubectl apply` takes them.
//!
//! What is wrong costs one object: it is reported with its file, line, field and remedy, and all else is loaded.

mod files;
mod loaded;
mod read;

pub use files::{FileError, ManifestFile, sources};
pub use loaded::{ManifestError, ManifestNote, Manifests, Origin};

use std::path::PathBuf;

/// Loads files, and folders with all that is in them.
///
/// # Errors
///
/// Where a path is not there or can't be read. Anything wrong inside a file is in [`Manifests::errors`] instead.
pub fn load(paths: &[PathBuf]) -> Result<Manifests, FileError> {
    let mut manifests = Manifests::default();
    for source in sources(paths)? {
        read::source(&source, &mut manifests);
    }
    Ok(manifests)
}

/// Loads one text, as if it were a file of that name.
#[must_use]
pub fn parse(name: &str, text: &str) -> Manifests {
    parse_bytes(name, text.as_bytes())
}

/// Loads what may be text.
#[must_use]
pub fn parse_bytes(name: &str, bytes: &[u8]) -> Manifests {
    let mut manifests = Manifests::default();
    read::source(&ManifestFile { name: name.into(), bytes: bytes.to_vec() }, &mut manifests);
    manifests
}
