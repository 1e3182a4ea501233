//! Where kube-apiserver and etcd are.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::recipe;

/// The two programs.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// kube-apiserver.
    pub apiserver: PathBuf,
    /// etcd.
    pub etcd: PathBuf,
}

/// Finds them in the folder `KUBEBUILDER_ASSETS` or on `PATH`. On Debian, a kube-apiserver that is missing is built from
/// Debian's source package, once for all checkouts of this user: minutes, and 2.5 GB of disk meanwhile.
///
/// # Errors
/// One is missing and can't be built; the error says what to do.
pub fn find_or_build() -> Result<Binaries> {
    let etcd = find("etcd")
        .context("no etcd in KUBEBUILDER_ASSETS or on PATH: `cargo xtask setup` installs it on Debian")?;
    let apiserver = match find("kube-apiserver") {
        Some(path) => path,
        None => built()?,
    };
    Ok(Binaries { apiserver, etcd })
}

fn find(program: &str) -> Option<PathBuf> {
    let assets = env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = assets.into_iter().chain(env::split_paths(&path));
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// The cached build, made first where there is none. Whoever comes meanwhile waits.
fn built() -> Result<PathBuf> {
    let folder = cache()?;
    let name = format!("kube-apiserver-{:016x}", recipe::hash());
    let binary = folder.join(&name);
    if binary.is_file() {
        return Ok(binary);
    }
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let lock = folder.join(format!("{name}.lock"));
    let lock = File::create(&lock).with_context(|| format!("creating {}", lock.display()))?;
    lock.lock().context("waiting for another build of kube-apiserver")?;
    if binary.is_file() {
        return Ok(binary);
    }
    let draft = folder.join(format!("{name}.draft"));
    let work = folder.join(format!("{name}.build"));
    let log = folder.join(format!("{name}.log"));
    eprintln!("    building kube-apiserver from Debian's source: some minutes, once ({})", log.display());
    recipe::build(&work, &draft, &log).context(
        "kube-apiserver can't be built; instead, set KUBEBUILDER_ASSETS to a folder with kube-apiserver and etcd",
    )?;
    fs::rename(&draft, &binary).with_context(|| format!("putting {} in place", binary.display()))?;
    remove(&work);
    Ok(binary)
}

fn cache() -> Result<PathBuf> {
    let user = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let user = user.filter(|path| path.is_absolute());
    let user = user.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    match user {
        Some(folder) => Ok(folder.join("netpol")),
        None => bail!("neither XDG_CACHE_HOME nor HOME says where to keep a built kube-apiserver"),
    }
}

/// Go's caches are read-only in places; what can't be removed costs space and nothing else.
fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder) {
        eprintln!("    {} can be removed by hand: {error}", folder.display());
    }
}
