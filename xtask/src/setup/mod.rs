//! `setup`: installs what is missing, and says what it is for.

mod cargo_tool;
mod cross;
mod debian;
mod helm;
mod kernel;
mod linker;
mod programs;
mod toolchain;

use anyhow::Result;
use netpol_testkit::{cluster::Plugin, go::Go};

use crate::tool;

/// Looks for each need, and meets those that are not met. Running it again changes nothing.
///
/// # Errors
/// The first need that can't be met, with what to do about it.
pub(crate) fn run() -> Result<()> {
    kernel::check()?;
    programs::install()?;
    toolchain::components()?;
    helm::install()?;
    match Go::find() {
        Ok(go) => found("Go", &go.path().display().to_string()),
        // Most tests need no Kubernetes.
        Err(error) => {
            missing("Go", &format!("builds Kubernetes for tests, which are skipped without it; {error:#}"))
        }
    }
    building()
}

/// Only what building the agent needs.
///
/// # Errors
/// As for [`run`].
pub(crate) fn building() -> Result<()> {
    let toolchain = toolchain::install()?;
    linker::install(&toolchain)?;
    cargo_tool::AUDITABLE.install()
}

/// What fuzzing needs beside that.
///
/// # Errors
/// As for [`run`].
pub(crate) fn fuzzing() -> Result<()> {
    if tool::find("c++").is_none() && debian::is_here() {
        missing("c++", "builds libFuzzer");
        debian::install(&["g++"], "a C++ compiler for libFuzzer")?;
    }
    cargo_tool::FUZZ.install()
}

/// What checking the crates that netpol is built of needs.
///
/// # Errors
/// As for [`run`].
pub(crate) fn dependency_check() -> Result<()> {
    cargo_tool::DENY.install()
}

/// What building for aarch64 needs beside that.
///
/// # Errors
/// As for [`run`].
pub(crate) fn cross_compiling() -> Result<()> {
    cross::install()
}

/// What listing the parts of a release needs.
///
/// # Errors
/// As for [`run`].
pub(crate) fn sbom() -> Result<()> {
    cargo_tool::CYCLONEDX.install()
}

/// What a virtual machine needs beside that.
///
/// # Errors
/// As for [`run`].
pub(crate) fn virtual_machine() -> Result<()> {
    programs::install_virtual_machine()
}

/// What a cluster with these network plugins needs, beside what [`run`] installs.
///
/// # Errors
/// As for [`run`]; or Go is missing.
pub(crate) fn networks(plugins: &[Plugin]) -> Result<()> {
    run()?;
    Go::find()?;
    programs::install_networks(plugins)
}

/// One line for a need that is met.
fn found(what: &str, detail: &str) {
    eprintln!("    found   {what:<14} {detail}");
}

/// One line for a need that is about to be met.
fn missing(what: &str, why: &str) {
    eprintln!("    missing {what:<14} {why}");
}
