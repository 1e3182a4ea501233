//! The files that manifests are in.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use flate2::read::MultiGzDecoder;

/// Deeper than any folder of manifests; a symbolic link to a parent would otherwise never end.
const MAX_DEPTH: usize = 16;

/// A compressed file may stand for this many bytes and no more: a few kilobytes can otherwise fill the memory.
const MAX_UNPACKED: u64 = 1 << 30;

/// The extensions of files that are read in folders; `.gz` may follow.
const EXTENSIONS: [&str; 5] = ["yaml", "yml", "json", "ndjson", "jsonl"];

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
    /// The content, unpacked.
    pub bytes: Vec<u8>,
    /// Whether it was found in a folder, where there may be other files, too. One that was named is meant.
    pub is_found: bool,
}

impl ManifestFile {
    /// Content that was named, packed or not.
    ///
    /// # Errors
    ///
    /// It can't be unpacked.
    pub fn new(name: impl Into<Arc<str>>, bytes: Vec<u8>) -> io::Result<Self> {
        Ok(Self { name: name.into(), bytes: unpacked(bytes)?, is_found: false })
    }
}

/// Reads all files, sorted by name, each once. In folders those with the extensions yaml, yml, json, ndjson and jsonl
/// count, packed ones (.gz) too, and hidden ones do not.
///
/// # Errors
///
/// Where a path is not there, can't be read or can't be unpacked.
pub fn sources(paths: &[PathBuf]) -> Result<Vec<ManifestFile>, FileError> {
    let mut files = Vec::new();
    for path in paths {
        let fail = |cause| FileError { path: path.clone(), cause };
        if fs::metadata(path).map_err(fail)?.is_dir() {
            let mut found = Vec::new();
            walk(path, 0, &mut found)?;
            files.extend(found.into_iter().map(|path| (path, true)));
        } else {
            files.push((path.clone(), false));
        }
    }
    files.sort();
    // The same file by two names is no duplicate.
    let mut seen = std::collections::HashSet::new();
    files.retain(|(path, _)| seen.insert(fs::canonicalize(path).unwrap_or_else(|_| path.clone())));
    let read = |(path, is_found): (PathBuf, bool)| match fs::read(&path).and_then(unpacked) {
        Ok(bytes) => Ok(ManifestFile { name: path.to_string_lossy().into(), bytes, is_found }),
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
        } else if metadata.is_file() && is_manifest(&path) {
            files.push(path);
        }
    }
    Ok(())
}

/// Whether a file of this name is read where it is found in a folder.
#[must_use]
pub fn is_manifest(path: &Path) -> bool {
    let packed = path.extension().is_some_and(|extension| extension == "gz");
    let name = if packed { path.with_extension("") } else { path.to_owned() };
    name.extension().and_then(|extension| extension.to_str()).is_some_and(|it| EXTENSIONS.contains(&it))
}

/// The content of a gzip file (RFC 1952); that of any other as it is.
fn unpacked(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let mut content = Vec::new();
    MultiGzDecoder::new(&*bytes).take(MAX_UNPACKED + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_UNPACKED {
        return Err(io::Error::other(format!("unpacked, it has more than {MAX_UNPACKED} bytes")));
    }
    Ok(content)
}
