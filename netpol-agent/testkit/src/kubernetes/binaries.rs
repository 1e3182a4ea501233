//! Finds Kubernetes' programs and etcd.

use std::{env, path::PathBuf};

use anyhow::{Context as _, Result};

use super::recipe;
use crate::cache;

/// The path of etcd: in the folder `KUBEBUILDER_ASSETS`, or on `PATH`.
///
/// # Errors
/// etcd is in neither. The error says what to do.
pub fn etcd() -> Result<PathBuf> {
    find("etcd")
        .context("no etcd in KUBEBUILDER_ASSETS or on PATH: `cargo xtask setup` installs it on Debian")
}

/// The path of kube-apiserver: in the folder `KUBEBUILDER_ASSETS`, or on `PATH`, or [`built`].
///
/// # Errors
/// kube-apiserver is in none of them and can't be built. The error says what to do.
pub fn apiserver() -> Result<PathBuf> {
    if let Some(path) = find("kube-apiserver") {
        return Ok(path);
    }
    let folder =
        built().context("instead, set KUBEBUILDER_ASSETS to a folder with kube-apiserver and etcd")?;
    Ok(folder.join("kube-apiserver"))
}

/// The folder with all of Kubernetes' programs, 1.20.2. They are built from Debian's source package, once for all
/// checkouts of this user. That takes some minutes, and temporarily 4 GB of disk space. Other callers wait meanwhile.
///
/// # Errors
/// The machine does not run Debian 12, Debian's archive can't be reached, or a tool fails.
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
