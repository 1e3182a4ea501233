//! The agent and the command as static binaries, packed with what has to go along.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use super::{
    archive, notices, target,
    version::{VERSION, epoch},
};
use crate::{setup, tool};

/// What a release has binaries for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Of the machine that this runs on.
    X86_64,
    /// With a standard library that is built from source: Debian's compiler and rustup's come without one for it.
    Aarch64,
}

const AARCH64: &str = "aarch64-unknown-linux-gnu";

const BINARIES: [&str; 2] = ["netpol-agent", "netpol"];

/// What lies beside the binaries.
const TEXTS: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"];

impl Target {
    /// Of the archive, and of the folder in it.
    fn name(self) -> String {
        let machine = match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        };
        format!("netpol-{VERSION}-{machine}-linux")
    }

    /// Where Cargo leaves its binaries.
    fn folder(self) -> PathBuf {
        match self {
            Self::X86_64 => target().join("release"),
            Self::Aarch64 => target().join(AARCH64).join("release"),
        }
    }

    /// A Cargo that builds for it, and the options that it takes.
    fn cargo(self) -> Result<(Command, &'static [&'static str])> {
        if self == Self::X86_64 {
            ensure!(cfg!(target_arch = "x86_64"), "a release is made on x86-64");
            return Ok((tool::cargo(), &[]));
        }
        setup::cross_compiling()?;
        let mut rustup = tool::command("rustup");
        rustup.args(["run", &toolchain()?, "cargo"]);
        // `build-std` is unstable: a stable compiler takes it only with this.
        rustup.env("RUSTC_BOOTSTRAP", "1");
        rustup.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc");
        Ok((rustup, &["--target", AARCH64, "-Z", "build-std=std,panic_abort"]))
    }
}

/// Builds both, and packs them into the release's folder; returns where the agent is.
pub(super) fn release(target: Target, folder: &Path) -> Result<PathBuf> {
    let built = target.folder();
    for binary in BINARIES {
        build(target, binary)?;
    }
    let work = TempDir::with_prefix("netpol-release-").context("making a folder for an archive")?;
    let content = work.path().join(target.name());
    fs::create_dir(&content).context("making a folder for an archive")?;
    let files = BINARIES.map(|name| built.join(name)).into_iter();
    let files = files.chain(TEXTS.map(|name| tool::root().join(name))).chain([folder.join(notices::FILE)]);
    for file in files {
        let name = file.file_name().context("a file without a name")?;
        fs::copy(&file, content.join(name)).with_context(|| format!("copying {}", file.display()))?;
    }
    archive::pack(&content, &folder.join(format!("{}.tar.gz", target.name())), epoch()?)?;
    Ok(built.join(BINARIES[0]))
}

/// As for the image: no library and no loader, and with the list of what it was built of.
fn build(target: Target, binary: &str) -> Result<()> {
    let (mut cargo, options) = target.cargo()?;
    cargo.args(["auditable", "rustc", "--release", "--locked", "--package", "netpol-agent", "--bin", binary]);
    cargo.args(options).args(["--", "-C", "target-feature=+crt-static", "-C", "strip=debuginfo"]);
    tool::run(&mut cargo)
}

/// A toolchain with the source of its standard library: that of the eBPF programs.
fn toolchain() -> Result<String> {
    let chosen = env::var("NETPOL_BPF_TOOLCHAIN").ok();
    let names = chosen.into_iter().chain(["netpol-bpf", "nightly"].map(str::to_owned));
    let has_source = |name: &String| {
        let mut rustc = tool::command("rustup");
        let sysroot = tool::output(rustc.args(["run", name, "rustc", "--print", "sysroot"]));
        sysroot.is_some_and(|path| Path::new(path.trim()).join("lib/rustlib/src/rust/library/std").is_dir())
    };
    names.into_iter().find(has_source).context("no toolchain has the source of its standard library")
}
