//! What is costly to get is kept for all checkouts of a user.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

/// A file or folder of the user's cache, made first where it is not there. Whoever comes meanwhile waits.
///
/// `make` gets a path that does not exist, to leave it there, and a second one for a folder of its own; that one
/// is removed in the end.
///
/// # Errors
/// No variable says where the cache is, it can't be written to, or `make` fails: the folder then stays, to look at.
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

/// Where it all is.
///
/// # Errors
/// No variable says where.
pub(crate) fn folder() -> Result<PathBuf> {
    let user = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let user = user.filter(|path| path.is_absolute());
    let user = user.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    match user {
        Some(folder) => Ok(folder.join("netpol")),
        None => bail!("neither XDG_CACHE_HOME nor HOME says where to keep what is made once"),
    }
}

/// Some tools leave folders read-only; what can't be removed costs space and nothing else.
fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder) {
        eprintln!("    {} can be removed by hand: {error}", folder.display());
    }
}
