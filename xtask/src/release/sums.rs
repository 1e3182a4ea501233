//! Checksums of all files of a release.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use crate::tool;

/// What `sha256sum --check` takes.
pub(super) const FILE: &str = "SHA256SUMS";

/// Writes them for all files that are there.
pub(super) fn write(folder: &Path) -> Result<()> {
    let sums = tool::output(tool::command("sha256sum").arg("--").args(files(folder)?).current_dir(folder))
        .context("`sha256sum` fails")?;
    fs::write(folder.join(FILE), sums).with_context(|| format!("writing {FILE}"))
}

/// The names of all files, in order.
pub(super) fn files(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("reading {}", folder.display()))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_changed_file_is_found() {
        let folder = TempDir::with_prefix("netpol-test-").unwrap();
        for name in ["b.tar", "a.yaml"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        write(folder.path()).unwrap();
        let check = || {
            let mut check = tool::command("sha256sum");
            tool::output(check.args(["--check", "--strict", FILE]).current_dir(folder.path()))
        };
        assert_eq!(check().unwrap(), "a.yaml: OK\nb.tar: OK\n");
        fs::write(folder.path().join("b.tar"), "another").unwrap();
        assert_eq!(check(), None);
    }
}
