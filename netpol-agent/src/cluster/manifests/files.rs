//! The files that manifests are in.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Deeper than any folder of manifests; a symbolic link to a parent would otherwise never end.
const MAX_DEPTH: usize = 16;

/// A path that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("can't read manifests from {}", path.display())]
pub struct FileError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub cause: io::Error,
}

/// A file's name and content.
#[derive(Debug)]
pub struct ManifestFile {
    /// The path as the user would write it.
    pub name: Arc<str>,
    /// The content.
    pub bytes: Vec<u8>,
}

/// Reads all files, sorted by name. In folders those with the extensions yaml, yml and json count, and hidden ones
/// do not.
///
/// # Errors
///
/// Where a path is not there or can't be read.
pub fn sources(paths: &[PathBuf]) -> Result<Vec<ManifestFile>, FileError> {
    let mut files = Vec::new();
    for path in paths {
        let fail = |cause| FileError { path: path.clone(), cause };
        if fs::metadata(path).map_err(fail)?.is_dir() {
            walk(path, 0, &mut files)?;
        } else {
            files.push(path.clone());
        }
    }
    files.sort();
    files.dedup();
    let read = |path: PathBuf| match fs::read(&path) {
        Ok(bytes) => Ok(ManifestFile { name: path.to_string_lossy().into(), bytes }),
        Err(cause) => Err(FileError { path, cause }),
    };
    files.into_iter().map(read).collect()
}

fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), FileError> {
    let fail = |cause| FileError { path: folder.to_owned(), cause };
    for entry in fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden {
            continue;
        }
        // A link that leads nowhere is no manifest.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if metadata.is_dir() && depth < MAX_DEPTH {
            walk(&path, depth + 1, files)?;
        } else if metadata.is_file()
            && path.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json")
        {
            files.push(path);
        }
    }
    Ok(())
}
