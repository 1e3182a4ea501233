//! `release`: everything that a release needs, in one folder.
//!
//! The same commit, built in the same folder with the same toolchain, gives the same files: their times are those of the
//! commit, and their order is that of their names.

mod archive;
mod binaries;
mod chart;
mod notices;
mod sbom;
mod sums;
mod version;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use netpol_testkit::{helm::Helm, image, manifest};

use self::{binaries::Target, version::VERSION};
use crate::{setup, stage::Stages, tool};

#[derive(Debug, Parser)]
pub(crate) struct ReleaseArgs {
    /// Where to put it, a folder that is made anew [default: target/release-VERSION]
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,

    /// Make it although files differ from the last commit
    #[arg(long)]
    allow_dirty: bool,

    /// Leave out the binaries for aarch64, whose standard library is built from source
    #[arg(long)]
    x86_64_only: bool,
}

/// Makes the release of the version in Cargo.toml.
///
/// # Errors
/// The tree is not ready for a release, or a part can't be made; the error says which.
pub(crate) fn run(args: ReleaseArgs) -> Result<()> {
    let ReleaseArgs { output, allow_dirty, x86_64_only } = args;
    let folder = output.unwrap_or_else(|| target().join(format!("release-{VERSION}")));
    let folder = std::path::absolute(&folder).context("the folder for the release")?;
    let stages = Stages::start();
    stages.run("look at the tree", || version::check(allow_dirty))?;
    stages.run("set up", setup::run)?;
    make_anew(&folder)?;
    stages.run("notices of third parties", || notices::write(&folder))?;
    stages.run("list of parts (SBOM)", || sbom::write(&folder))?;
    let agent = stages.run("binaries for x86-64", || binaries::release(Target::X86_64, &folder))?;
    if !x86_64_only {
        stages.run("binaries for aarch64", || binaries::release(Target::Aarch64, &folder))?;
    }
    let archive = folder.join(format!("netpol-agent-{VERSION}-image-amd64.tar"));
    stages.run("image", || image::pack(&agent, &archive))?;
    stages.run("chart and manifests", || chart_and_manifests(&folder))?;
    stages.run("checksums", || sums::write(&folder))?;
    stages.done(&format!("release {VERSION} is in {}", folder.display()));
    print!("{}", table(&folder)?);
    Ok(())
}

fn chart_and_manifests(folder: &Path) -> Result<()> {
    let helm = Helm::find_or_fetch()?;
    chart::package(&helm, folder)?;
    let file = folder.join(format!("netpol-{VERSION}.yaml"));
    fs::write(&file, manifest::render(&helm)?).with_context(|| format!("writing {}", file.display()))
}

/// An empty folder. One that is there and does not look like a release is not touched.
fn make_anew(folder: &Path) -> Result<()> {
    if folder.exists() {
        let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
        ensure!(
            folder.join(sums::FILE).is_file() || folder.join(notices::FILE).is_file() || entries.count() == 0,
            "{} has files, and none of a release: name another folder with --output",
            folder.display()
        );
        fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))
}

/// Each file with its size in bytes.
fn table(folder: &Path) -> Result<String> {
    let mut rows = String::new();
    for name in sums::files(folder)? {
        let size = fs::metadata(folder.join(&name)).with_context(|| format!("reading {name}"))?.len();
        rows += &format!("{size:>12}  {name}\n");
    }
    Ok(rows)
}

fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| tool::root().join("target"), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn foreign_folders_are_not_touched() {
        let folder = TempDir::with_prefix("netpol-test-").unwrap();
        let file = folder.path().join("thesis.txt");
        fs::write(&file, "years of work").unwrap();
        assert!(make_anew(folder.path()).is_err());
        assert!(file.exists());
        fs::rename(&file, folder.path().join(sums::FILE)).unwrap();
        make_anew(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_table_has_each_file() {
        let folder = TempDir::with_prefix("netpol-test-").unwrap();
        fs::write(folder.path().join("b"), "12345").unwrap();
        fs::write(folder.path().join("a"), "").unwrap();
        assert_eq!(table(folder.path()).unwrap(), "           0  a\n           5  b\n");
    }
}
