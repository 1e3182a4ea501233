//! Where Kubernetes' programs and etcd are.

use std::{env, path::PathBuf};

use anyhow::{Context as _, Result};

use super::recipe;
use crate::cache;

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
    cache::find_or_make(&format!("kubernetes-{:016x}", recipe::hash()), |folder, work| {
        let log = folder.with_extension("log");
        eprintln!("    building Kubernetes from Debian's source: some minutes, once ({})", log.display());
        recipe::build(work, folder, &log).context("building Kubernetes")
    })
}

fn find(program: &str) -> Option<PathBuf> {
    let assets = env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = assets.into_iter().chain(env::split_paths(&path));
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}
