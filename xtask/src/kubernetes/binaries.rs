//! Where Kubernetes' programs and etcd are.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::recipe;

/// etcd: in the folder `KUBEBUILDER_ASSETS`, or on `PATH`.
///
/// # Errors
/// It is in neither; the error says what to do.
pub fn etcd() -> Result<PathBuf> {
    find("etcd")
        .context("no etcd in KUBEBUILDER_ASSETS or on PATH: `cargo xtask setup` installs it on Debian")
}

/// kube-apiserver: in the folder `KUBEBUILDER_ASSETS`, or on `PATH`, or [`built`].
///
/// # Errors
/// There is none and none can be built; the error says what to do.
pub fn apiserver() -> Result<PathBuf> {
    if let Some(path) = find("kube-apiserver") {
        return Ok(path);
    }
    let folder =
        built().context("instead, set KUBEBUILDER_ASSETS to a folder with kube-apiserver and etcd")?;
    Ok(folder.join("kube-apiserver"))
}

/// The folder with all of Kubernetes' programs, 1.20.2, built from Debian's source package: once for all checkouts of
/// this user, which takes minutes, and 4 GB of disk meanwhile. Whoever comes meanwhile waits.
///
/// # Errors
/// This is not Debian 12, its archive can't be reached, or a tool fails.
pub fn built() -> Result<PathBuf> {
    let cache = cache()?;
    let name = format!("kubernetes-{:016x}", recipe::hash());
    let folder = cache.join(&name);
    if folder.is_dir() {
        return Ok(folder);
    }
    fs::create_dir_all(&cache).with_context(|| format!("making {}", cache.display()))?;
    let lock = cache.join(format!("{name}.lock"));
    let lock = File::create(&lock).with_context(|| format!("creating {}", lock.display()))?;
    lock.lock().context("waiting for another build of Kubernetes")?;
    if folder.is_dir() {
        return Ok(folder);
    }
    let draft = cache.join(format!("{name}.draft"));
    let work = cache.join(format!("{name}.build"));
    let log = cache.join(format!("{name}.log"));
    eprintln!("    building Kubernetes from Debian's source: some minutes, once ({})", log.display());
    recipe::build(&work, &draft, &log).context("building Kubernetes")?;
    fs::rename(&draft, &folder).with_context(|| format!("putting {} in place", folder.display()))?;
    remove(&work);
    Ok(folder)
}

/// Where this user keeps what can be made again.
///
/// # Errors
/// The environment does not say where.
pub(crate) fn cache() -> Result<PathBuf> {
    let user = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let user = user.filter(|path| path.is_absolute());
    let user = user.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    match user {
        Some(folder) => Ok(folder.join("netpol")),
        None => bail!("neither XDG_CACHE_HOME nor HOME says where to keep what is built"),
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let assets = env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = assets.into_iter().chain(env::split_paths(&path));
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Go's caches are read-only in places; what can't be removed costs space and nothing else.
fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder) {
        eprintln!("    {} can be removed by hand: {error}", folder.display());
    }
}
