//! What the machine starts from: busybox, the modules that lead to this machine's files, and what to do then.

use std::{
    fs, iter,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use super::{Kernel, STATUS};

const INIT: &str = include_str!("init.sh");

/// What it takes to see this machine's files.
const MODULES: [&str; 3] = ["virtio_pci", "9pnet_virtio", "9p"];

/// Builds it in a folder; returns the archive.
pub(super) fn build(folder: &Path, kernel: &Kernel, command: &[String]) -> Result<PathBuf> {
    let root = folder.join("root");
    for name in ["bin", "sbin", "proc", "sys", "dev", "host", "lib/modules", "load"] {
        let path = root.join(name);
        fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
    }
    let copy = |from: &Path, to: &Path| {
        fs::copy(from, to).with_context(|| format!("copying {} to {}", from.display(), to.display()))
    };
    copy(Path::new("/bin/busybox"), &root.join("bin/busybox"))?;
    // The kernel starts it where it needs a module.
    symlink("/bin/busybox", root.join("sbin/modprobe")).context("linking modprobe")?;
    for (number, file) in kernel.modules(&MODULES)?.iter().enumerate() {
        copy(file, &root.join(format!("load/{number:02}.ko")))?;
    }
    let here = std::env::current_dir().context("the current folder")?;
    let parts = iter::once(here.display().to_string()).chain(command.iter().cloned());
    let quoted: Vec<String> = parts.map(|part| quote(&part)).collect();
    write(&root.join("command"), &format!("cd {} && exec {}\n", quoted[0], quoted[1..].join(" ")))?;
    let init = INIT
        .replace("@MODULES@", &kernel.root.join("lib/modules").display().to_string())
        .replace("@STATUS@", STATUS);
    write(&root.join("init"), &init)?;
    archive(&root, folder.join("initramfs"))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).context("making it executable")
}

/// As one word of a shell's line.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn archive(root: &Path, archive: PathBuf) -> Result<PathBuf> {
    let output = fs::File::create(&archive).with_context(|| format!("creating {}", archive.display()))?;
    let made = Command::new("sh")
        .args(["-c", "find . | cpio --create --format=newc --quiet"])
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(output)
        .status()
        .context("starting `sh`")?;
    ensure!(made.success(), "`cpio` ended with {made}");
    Ok(archive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_shell() {
        for (text, quoted) in [("a b", "'a b'"), ("it's", "'it'\\''s'"), ("$x", "'$x'"), ("", "''")] {
            assert_eq!(quote(text), quoted);
        }
    }
}
