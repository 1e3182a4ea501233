//! Objects from files, as `kubectl apply` takes them.
//!
//! What is wrong costs one object: it is reported with its file, line, field and remedy, and all else is loaded. What is no
//! input of network policy is passed over, with a note. The template of a workload counts as its pods, unless they are there.

mod files;
mod loaded;
mod read;
mod workloads;

pub use files::{FileError, ManifestFile, is_manifest, sources};
pub use loaded::{
    Completeness, DuplicateObject, ManifestError, ManifestNote, Manifests, Origin, WordForBoolean,
};

use std::path::PathBuf;

/// Loads files, and folders with all that is in them.
///
/// # Errors
///
/// Where a path is not there or can't be read. Anything wrong inside a file is in [`Manifests::errors`] instead.
pub fn load(paths: &[PathBuf]) -> Result<Manifests, FileError> {
    Ok(read(&sources(paths)?))
}

/// Loads what was read from files.
#[must_use]
pub fn read(files: &[ManifestFile]) -> Manifests {
    let mut manifests = Manifests::default();
    for file in files {
        read::source(file, &mut manifests);
    }
    workloads::add_pods(&mut manifests);
    manifests
}

/// Loads one text, as if it were a file of that name.
#[must_use]
pub fn parse(name: &str, text: &str) -> Manifests {
    parse_bytes(name, text.as_bytes())
}

/// Loads what may be text.
#[must_use]
pub fn parse_bytes(name: &str, bytes: &[u8]) -> Manifests {
    read(&[ManifestFile { name: name.into(), bytes: bytes.to_vec(), is_found: false }])
}
