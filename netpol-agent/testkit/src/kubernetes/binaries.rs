//! Finds Kubernetes' API server and etcd.

use std::{env, path::PathBuf};

use anyhow::Result;

use crate::go::{self, Module};

/// The path of etcd: in the folder `KUBEBUILDER_ASSETS`, or [built](Module::built). The machine's own may be too old for
/// the API server.
///
/// # Errors
/// It is not there and can't be built. The error says what to do.
pub fn etcd() -> Result<PathBuf> {
    find_or_build("etcd", Module::Etcd)
}

/// The path of kube-apiserver: in the folder `KUBEBUILDER_ASSETS`, or [built](Module::built).
///
/// # Errors
/// It is not there and can't be built. The error says what to do.
pub fn apiserver() -> Result<PathBuf> {
    find_or_build("kube-apiserver", Module::Kubernetes)
}

/// Returns true if there is no API server and none can be built, and records that the test of this thread is skipped.
#[must_use]
pub fn is_missing() -> bool {
    let are_given = ["etcd", "kube-apiserver"].iter().all(|program| given(program).is_some());
    !are_given && go::is_missing()
}

fn find_or_build(program: &str, module: Module) -> Result<PathBuf> {
    match given(program) {
        Some(file) => Ok(file),
        None => Ok(module.built()?.join(program)),
    }
}

/// A program that the user has chosen.
fn given(program: &str) -> Option<PathBuf> {
    let file = PathBuf::from(env::var_os("KUBEBUILDER_ASSETS")?).join(program);
    file.is_file().then_some(file)
}
