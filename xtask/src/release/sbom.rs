//! The list of all parts of the binaries, in CycloneDX's form, for tools that look for known vulnerabilities.
//!
//! `cargo cyclonedx` makes it of Cargo's own data, with the licence and checksum of each crate. What `cargo auditable`
//! puts into the binaries has neither, and tells names and versions where there is only a binary.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::version::{VERSION, epoch};
use crate::{setup, tool};

/// `cargo cyclonedx` writes a file of this name beside each Cargo.toml of the workspace, whichever is asked for.
const DRAFT: &str = "netpol-sbom-draft";

/// Writes it.
pub(super) fn write(folder: &Path) -> Result<()> {
    setup::sbom()?;
    let root = tool::root();
    let drafts = Drafts(members()?);
    let mut make = tool::cargo();
    make.args(["cyclonedx", "--quiet", "--format", "json", "--spec-version", "1.5", "--no-build-deps"])
        .args(["--target", "x86_64-unknown-linux-gnu", "--override-filename", DRAFT])
        .arg("--manifest-path")
        .arg(root.join("netpol-agent/Cargo.toml"))
        .env("SOURCE_DATE_EPOCH", epoch()?.to_string());
    tool::run(&mut make)?;
    let draft = root.join("netpol-agent").join(format!("{DRAFT}.json"));
    let text = fs::read_to_string(&draft).with_context(|| format!("reading {}", draft.display()))?;
    drop(drafts);
    let file = folder.join(format!("netpol-{VERSION}.cdx.json"));
    fs::write(&file, without_folder(&text, &root)).with_context(|| format!("writing {}", file.display()))
}

/// Where netpol was built is nobody's business, and would make another file of the same sources.
fn without_folder(text: &str, root: &Path) -> String {
    text.replace(&*root.to_string_lossy(), "")
}

/// The folders of the workspace's packages.
fn members() -> Result<Vec<PathBuf>> {
    let mut metadata = tool::cargo();
    metadata.args(["metadata", "--format-version", "1", "--no-deps", "--locked"]);
    let text = tool::output(&mut metadata).context("`cargo metadata` fails")?;
    let metadata: Value = serde_json::from_str(&text).context("reading what `cargo metadata` prints")?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let manifests = packages.filter_map(|package| package["manifest_path"].as_str());
    Ok(manifests.filter_map(|path| Path::new(path).parent()).map(Path::to_owned).collect())
}

/// The folders with drafts, which go however it ends.
struct Drafts(Vec<PathBuf>);

impl Drop for Drafts {
    fn drop(&mut self) {
        for folder in &self.0 {
            // Where there is none, nothing is left behind.
            let _ = fs::remove_file(folder.join(format!("{DRAFT}.json")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drafts_are_looked_for_beside_each_manifest() {
        let members = members().unwrap();
        for name in ["netpol-agent", "netpol-common", "netpol-ebpf", "xtask"] {
            assert!(members.contains(&tool::root().join(name)), "{name} is not in {members:?}");
        }
    }

    #[test]
    fn the_folder_of_the_build_is_not_told() {
        let text = r#"{"bom-ref": "path+file:///builds/netpol/netpol-agent#0.1.0"}"#;
        let shown = without_folder(text, Path::new("/builds/netpol"));
        assert_eq!(shown, r#"{"bom-ref": "path+file:///netpol-agent#0.1.0"}"#);
    }
}
