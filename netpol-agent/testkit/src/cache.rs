//! The user's cache: files that are costly to download or build are shared by all checkouts.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

/// Returns the path of a file or folder in the user's cache. If it does not exist, `make` creates it. Other callers
/// wait meanwhile.
///
/// `make` gets two paths: the one that it must create, and one for a temporary folder, which is removed at the end.
///
/// # Errors
/// No environment variable defines where the cache is, it can't be written to, or `make` fails. After a failure, the
/// temporary folder is kept for inspection.
pub fn find_or_make(name: &str, make: impl FnOnce(&Path, &Path) -> Result<()>) -> Result<PathBuf> {
    let folder = folder()?;
    let place = folder.join(name);
    if place.exists() {
        return Ok(place);
    }
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let lock = folder.join(format!("{name}.lock"));
    let lock = File::create(&lock).with_context(|| format!("creating {}", lock.display()))?;
    lock.lock().with_context(|| format!("waiting for somebody else who makes {}", place.display()))?;
    if place.exists() {
        return Ok(place);
    }
    let draft = folder.join(format!("{name}.draft"));
    let work = folder.join(format!("{name}.build"));
    make(&draft, &work)?;
    fs::rename(&draft, &place).with_context(|| format!("putting {} in place", place.display()))?;
    remove(&work);
    Ok(place)
}

/// The folder of the cache.
///
/// # Errors
/// No environment variable defines it.
pub(crate) fn folder() -> Result<PathBuf> {
    let user = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let user = user.filter(|path| path.is_absolute());
    let user = user.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    match user {
        Some(folder) => Ok(folder.join("netpol")),
        None => bail!("neither XDG_CACHE_HOME nor HOME says where to keep what is made once"),
    }
}

/// Removes a folder. Some tools leave folders read-only. What can't be removed only uses disk space.
fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder) {
        eprintln!("    {} can be removed by hand: {error}", folder.display());
    }
}
