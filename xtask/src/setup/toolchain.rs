//! The compiler of the eBPF programs: one that has the source of its own standard library.

use std::{env, path::Path};

use anyhow::{Context as _, Result, bail, ensure};

use super::{debian, found, missing};
use crate::tool;

/// What netpol-agent's build script looks for first.
const LINKED: &str = "netpol-bpf";

/// What it takes else.
const NIGHTLY: &str = "nightly";

/// A toolchain that can build for the BPF target.
pub(super) struct Toolchain {
    /// The major version of its LLVM: what `bpf-linker` needs at least.
    pub(super) llvm: u32,
}

/// What checks the form of the sources, from the default toolchain.
pub(super) fn components() -> Result<()> {
    for (component, program) in [("rustfmt", "cargo-fmt"), ("clippy", "cargo-clippy")] {
        if tool::output(tool::command(program).arg("--version")).is_none() {
            missing(component, "checks the sources");
            tool::run(tool::command("rustup").args(["component", "add", component]))
                .with_context(|| format!("`{component}` for the default toolchain"))?;
        }
    }
    Ok(())
}

/// Finds a toolchain or makes one: what is there first, then Debian's packages, then rustup's nightly.
pub(super) fn install() -> Result<Toolchain> {
    ensure!(
        tool::find("rustup").is_some(),
        "rustup is not on PATH: it runs the toolchain of the eBPF programs (https://rustup.rs, or Debian's package \
         `rustup` where there is one)"
    );
    let chosen = env::var("NETPOL_BPF_TOOLCHAIN").ok();
    for name in chosen.as_deref().into_iter().chain([LINKED, NIGHTLY]) {
        if let Some(toolchain) = inspect(name) {
            found("eBPF compiler", &format!("toolchain {name}, with LLVM {}", toolchain.llvm));
            return Ok(toolchain);
        }
        if chosen.is_some() {
            bail!("NETPOL_BPF_TOOLCHAIN names {name}, which has no source of its standard library");
        }
    }
    missing("eBPF compiler", "builds the programs: a Rust compiler with the source of its standard library");
    let name = if debian::is_here() { from_debian()? } else { from_rustup()? };
    inspect(name)
        .with_context(|| format!("toolchain {name} is installed, and yet can't build for the BPF target"))
}

/// Debian has a newer Rust for its browsers, and the source of that very compiler.
fn from_debian() -> Result<&'static str> {
    debian::install(&["rustc-web", "cargo-web", "rust-web-src"], "the compiler of the eBPF programs")?;
    // One that leads elsewhere is of no use, or `inspect` would have taken it.
    tool::run(tool::command("rustup").args(["toolchain", "link", LINKED, "/usr"]))?;
    Ok(LINKED)
}

fn from_rustup() -> Result<&'static str> {
    let install = ["toolchain", "install", NIGHTLY, "--profile", "minimal", "--component", "rust-src"];
    tool::run(tool::command("rustup").args(install)).context(
        "rustup's nightly with its source can't be had; link any toolchain that has it as `netpol-bpf`",
    )?;
    Ok(NIGHTLY)
}

/// The toolchain of this name, if it is there and has its source.
fn inspect(name: &str) -> Option<Toolchain> {
    let rustc = |args: &[&str]| tool::output(tool::command("rustup").args(["run", name, "rustc"]).args(args));
    let sysroot = rustc(&["--print", "sysroot"])?;
    let core = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core");
    core.is_dir().then_some(())?;
    tool::output(tool::command("rustup").args(["run", name, "cargo", "--version"]))?;
    Some(Toolchain { llvm: llvm_version(&rustc(&["--version", "--verbose"])?)? })
}

/// The major version in `rustc --version --verbose`.
fn llvm_version(verbose: &str) -> Option<u32> {
    let version = verbose.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llvm_version_is_found() {
        for (verbose, version) in [
            ("rustc 1.96.0\nrelease: 1.96.0\nLLVM version: 22.1.8\n", Some(22)),
            ("rustc 1.96.0\nrelease: 1.96.0\n", None),
            ("LLVM version: \n", None),
        ] {
            assert_eq!(llvm_version(verbose), version, "{verbose:?}");
        }
    }
}
