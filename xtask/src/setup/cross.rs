//! What building for another processor needs.

use anyhow::{Result, bail};

use super::{debian, found, missing};
use crate::tool;

const COMPILER: &str = "aarch64-linux-gnu-gcc";

/// Installs Debian's C compiler and C library for aarch64 where they are missing.
///
/// # Errors
/// They can't be installed.
pub(super) fn install() -> Result<()> {
    if tool::find(COMPILER).is_some() {
        found(COMPILER, "on PATH");
        return Ok(());
    }
    missing(COMPILER, "compiles and links for aarch64");
    if !debian::is_here() {
        bail!(
            "install {COMPILER} with its C library with this system's package manager, or leave aarch64 out with --x86-64-only"
        );
    }
    debian::install(&["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"], "the C compiler for aarch64")
}
