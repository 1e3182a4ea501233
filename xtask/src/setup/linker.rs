//! `bpf-linker`, built by `cargo install` against a LLVM that can read what the compiler writes.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::{debian, found, missing, toolchain::Toolchain};
use crate::tool;

const VERSION: &str = "0.13.0";

/// The newest LLVM that this version of `bpf-linker` can be built against.
const NEWEST_LLVM: u32 = 23;

/// Builds it where there is none, or too old a one.
pub(super) fn install(toolchain: &Toolchain) -> Result<()> {
    if let Some(version) = installed().filter(|version| *version >= numbers(VERSION)) {
        found("bpf-linker", &version.map(|number| number.to_string()).join("."));
        return Ok(());
    }
    missing("bpf-linker", "links the eBPF programs; it is built from source, which takes a few minutes");
    let (llvm, prefix) = llvm(toolchain.llvm)?;
    tool::run(
        tool::cargo()
            .args(["install", "bpf-linker", "--version", VERSION, "--locked", "--force"])
            .args(["--no-default-features", "--features", &format!("llvm-{llvm}")])
            .env("LLVM_PREFIX", prefix),
    )?;
    installed()
        .map(drop)
        .context("bpf-linker is installed, but not on PATH: add Cargo's folder `bin` to PATH")
}

/// A LLVM with its development files, at least as new as the compiler's.
fn llvm(at_least: u32) -> Result<(u32, PathBuf)> {
    if let Some(llvm) = present(at_least) {
        return Ok(llvm);
    }
    if debian::is_here() {
        debian::install(&[&format!("llvm-{at_least}-dev")], "LLVM for bpf-linker")?;
    }
    let Some(llvm) = present(at_least) else {
        bail!(
            "bpf-linker needs LLVM {at_least} to {NEWEST_LLVM} with its development files (llvm-config): install one, \
             or put a ready-made bpf-linker {VERSION} on PATH"
        );
    };
    Ok(llvm)
}

fn present(at_least: u32) -> Option<(u32, PathBuf)> {
    let candidates = (at_least..=NEWEST_LLVM).map(|major| (major, format!("/usr/lib/llvm-{major}")));
    candidates
        .map(|(major, prefix)| (major, PathBuf::from(prefix)))
        .find(|(_, prefix)| prefix.join("bin/llvm-config").is_file())
        .or_else(|| from_path(at_least))
}

/// The LLVM that `llvm-config` on PATH belongs to.
fn from_path(at_least: u32) -> Option<(u32, PathBuf)> {
    let ask = |what| tool::output(tool::command("llvm-config").arg(what));
    let [major, ..] = numbers(&ask("--version")?);
    let prefix = ask("--prefix")?;
    (at_least..=NEWEST_LLVM).contains(&major).then(|| (major, Path::new(prefix.trim()).to_owned()))
}

fn installed() -> Option<[u32; 3]> {
    let version = tool::output(tool::command("bpf-linker").arg("--version"))?;
    Some(numbers(version.split_whitespace().nth(1)?))
}

/// The three numbers of a version; what can't be read is zero.
fn numbers(version: &str) -> [u32; 3] {
    let mut numbers = version.trim().split(['.', '-', '+']).map(|number| number.parse().unwrap_or(0));
    [(); 3].map(|()| numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered() {
        for (version, parsed) in
            [("0.13.0", [0, 13, 0]), ("22.1.8\n", [22, 1, 8]), ("23.0.0-rc1", [23, 0, 0]), ("odd", [0, 0, 0])]
        {
            assert_eq!(numbers(version), parsed, "{version:?}");
        }
        assert!(numbers("0.9.15") < numbers(VERSION));
    }
}
