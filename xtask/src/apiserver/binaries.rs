//! Where kube-apiserver and etcd are.

use std::{env, path::PathBuf};

use anyhow::{Context as _, Result};

use super::recipe;
use crate::cache;

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

/// The cached build.
fn built() -> Result<PathBuf> {
    cache::file(&format!("kube-apiserver-{:016x}", recipe::hash()), |binary, work| {
        let log = binary.with_extension("log");
        eprintln!("    building kube-apiserver from Debian's source: some minutes, once ({})", log.display());
        recipe::build(work, binary, &log).context(
            "kube-apiserver can't be built; instead, set KUBEBUILDER_ASSETS to a folder with kube-apiserver and etcd",
        )
    })
}
