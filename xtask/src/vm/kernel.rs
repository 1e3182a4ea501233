//! A kernel from Debian.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use netpol_testkit::cache;

use crate::tool;

/// Debian's package that names its stable kernel: 6.1 in Debian 12, which has BTF and drop reasons, and no TCX.
const STABLE: &str = "linux-image-amd64";

/// A kernel, and its modules.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// Such as `6.1.0-56-amd64`.
    pub(crate) version: String,
    /// What a machine starts.
    pub(crate) image: PathBuf,
    /// The folder that has `lib/modules`.
    pub(crate) root: PathBuf,
}

impl Kernel {
    /// Debian's stable kernel, unpacked once for all checkouts of this user; not installed.
    ///
    /// # Errors
    /// This is not Debian, or its archive can't be reached.
    pub(crate) fn stable() -> Result<Self> {
        ensure!(cfg!(target_arch = "x86_64"), "the machine is made for x86-64 alone");
        let depends = tool::output(tool::command("apt-cache").args(["depends", "--important", STABLE]))
            .context("`apt-cache depends` knows no kernel: this needs Debian")?;
        let package = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image-"));
        let version = package.with_context(|| format!("{STABLE} names no kernel:\n{depends}"))?.to_owned();
        let package = format!("linux-image-{version}");
        let root = cache::find_or_make(&package, |root, work| unpack(&package, &version, root, work))
            .with_context(|| format!("Debian's package {package}"))?;
        Ok(Self { image: root.join(format!("boot/vmlinuz-{version}")), version, root })
    }

    /// The files of these modules and of those that they need, in the order in which to load them.
    pub(crate) fn modules(&self, names: &[&str]) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for name in names {
            let mut command = tool::command("modprobe");
            command.arg("--dirname").arg(&self.root).args(["--set-version", &self.version]);
            let told = tool::output(command.args(["--show-depends", name]))
                .with_context(|| format!("{} has no module {name}", self.version))?;
            // Others are built in.
            let needed = told.lines().filter_map(|line| line.trim().strip_prefix("insmod "));
            for file in needed.map(|file| PathBuf::from(file.trim())) {
                if !files.contains(&file) {
                    files.push(file);
                }
            }
        }
        Ok(files)
    }
}

fn unpack(package: &str, version: &str, root: &Path, work: &Path) -> Result<()> {
    if work.exists() {
        fs::remove_dir_all(work).with_context(|| format!("removing {}", work.display()))?;
    }
    fs::create_dir_all(work).with_context(|| format!("making {}", work.display()))?;
    let sandbox = ["--option", "APT::Sandbox::User=root"];
    tool::run(Command::new("apt-get").args(sandbox).args(["download", package]).current_dir(work))?;
    let archives = fs::read_dir(work).context("listing what was downloaded")?;
    let archive = archives.flatten().next().context("`apt-get download` left no file")?.path();
    tool::run(Command::new("dpkg-deb").arg("--extract").arg(archive).arg(root))?;
    tool::run(Command::new("depmod").arg("--basedir").arg(root).arg(version))
}
