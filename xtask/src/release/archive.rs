//! Archives whose bytes depend on nothing but what is in them.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::tool;

/// Packs a folder, by its own name, into a `.tar.gz` in which everything has the given time, in seconds since 1970, and
/// belongs to root.
///
/// # Errors
/// GNU tar fails; its own words are in the error.
pub(super) fn pack(folder: &Path, archive: &Path, epoch: u64) -> Result<()> {
    let (parent, name) = (folder.parent(), folder.file_name());
    let (parent, name) = parent.zip(name).context("a folder with a name")?;
    let output = tool::command("tar")
        .args(["--create", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--format=ustar"])
        .args([&format!("--mtime=@{epoch}"), "--mode=a+rX,u+w,go-w"])
        // Without the time at which it is compressed.
        .arg("--use-compress-program=gzip --no-name --best")
        .arg("--file")
        .arg(archive)
        .arg("--directory")
        .args([parent.as_os_str(), name])
        .output()
        .context("starting `tar`")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "packing {}: {said}", folder.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    /// Two folders with the same files, made at other times in another order.
    #[test]
    fn the_same_files_make_the_same_archive() {
        let work = TempDir::with_prefix("netpol-test-").unwrap();
        let archives = [["a", "b"], ["b", "a"]].map(|names| {
            let folder = work.path().join(names[0]).join("release");
            fs::create_dir_all(&folder).unwrap();
            for name in names {
                fs::write(folder.join(name), name).unwrap();
            }
            let an_hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
            fs::File::open(folder.join(names[0])).unwrap().set_modified(an_hour_ago).unwrap();
            let archive = work.path().join(format!("{}.tar.gz", names[0]));
            pack(&folder, &archive, 1_700_000_000).unwrap();
            fs::read(archive).unwrap()
        });
        assert!(archives[0] == archives[1]);
        let other = work.path().join("other.tar.gz");
        pack(&work.path().join("a/release"), &other, 1_700_000_001).unwrap();
        assert!(fs::read(other).unwrap() != archives[0], "the time is not in the archive");
    }
}
