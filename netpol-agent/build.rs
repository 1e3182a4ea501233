//! Builds the eBPF programs from source; the agent embeds the object file. Makes Rust of the messages of Hubble's API.
//!
//! `-Z build-std=core`, which the BPF target needs, is unstable: a stable compiler takes it only with
//! `RUSTC_BOOTSTRAP=1`. That variable must not leak into the build of anything else, so this script runs itself once
//! more as a child that has it.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context as _, Result, bail};
use aya_build::{Package, Toolchain};

const STAGE: &str = "NETPOL_EBPF_STAGE";
const TOOLCHAIN: &str = "NETPOL_BPF_TOOLCHAIN";

fn main() -> Result<()> {
    if env::var_os(STAGE).is_some() {
        return build();
    }
    println!("cargo:rerun-if-env-changed={TOOLCHAIN}");
    hubble()?;
    let Output { status, stdout, stderr } = Command::new(env::current_exe()?)
        .env(STAGE, "1")
        .env("RUSTC_BOOTSTRAP", "1")
        .output()
        .context("running the build script for the eBPF stage")?;
    let stdout = String::from_utf8_lossy(&stdout);
    for line in stdout.lines().filter(|line| !is_progress(line)) {
        println!("{line}");
    }
    if !status.success() {
        let stderr = String::from_utf8_lossy(&stderr);
        bail!(
            "the eBPF programs did not build; `cargo xtask setup` installs what they need\n{stdout}\n{stderr}"
        );
    }
    Ok(())
}

/// Whether a line only reports how the inner Cargo gets on: aya-build hands all that it prints on as warnings, and nothing is
/// wrong with "Compiling".
fn is_progress(line: &str) -> bool {
    const PROGRESS: [&str; 10] = [
        "Adding",
        "Blocking",
        "Building",
        "Compiling",
        "Downloaded",
        "Downloading",
        "Finished",
        "Fresh",
        "Locking",
        "Updating",
    ];
    let Some(text) = line.strip_prefix("cargo:warning=") else { return false };
    text.trim().is_empty() || text.split_whitespace().next().is_some_and(|word| PROGRESS.contains(&word))
}

/// The messages and services of Hubble's API.
fn hubble() -> Result<()> {
    const FOLDER: &str = "proto";
    const FILES: [&str; 2] = ["observer/observer.proto", "peer/peer.proto"];
    println!("cargo:rerun-if-changed={FOLDER}");
    let mut compiler = protox::Compiler::new([FOLDER])?;
    compiler.include_imports(true).open_files(FILES).context("the files in proto/")?;
    let out = env::var_os("OUT_DIR").context("OUT_DIR")?;
    fs::write(Path::new(&out).join("hubble.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure()
        .compile_fds(compiler.file_descriptor_set())
        .context("code for the files in proto/")
}

fn build() -> Result<()> {
    let toolchain = toolchain();
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../netpol-ebpf");
    println!("cargo:rerun-if-changed={root}/../netpol-common/src");
    aya_build::build_ebpf(
        [Package { name: "netpol-ebpf", root_dir: root, ..Package::default() }],
        Toolchain::Custom(&toolchain),
    )
}

/// The toolchain that `cargo xtask setup` linked, else rustup's nightly.
fn toolchain() -> String {
    const LINKED: &str = "netpol-bpf";
    if let Ok(name) = env::var(TOOLCHAIN) {
        return name;
    }
    let linked = Command::new("rustup")
        .args([OsStr::new("run"), OsStr::new(LINKED), OsStr::new("rustc"), OsStr::new("--version")])
        .output()
        .is_ok_and(|output| output.status.success());
    if linked { LINKED } else { "nightly" }.to_owned()
}
