//! Unpacks an image, so that tests can inspect its files.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

/// The folder name of an unpacked image's files.
const ROOT: &str = "root";

/// An unpacked image.
#[derive(Debug)]
pub struct Image {
    folder: TempDir,
    name: String,
    config: Value,
}

impl Image {
    /// Unpacks an archive that [`super::pack`] wrote.
    ///
    /// # Errors
    /// The archive does not exist, or is not an image.
    pub fn unpack(archive: &Path) -> Result<Self> {
        ensure!(archive.is_file(), "{} is not there: `cargo xtask test` makes it", archive.display());
        let folder = TempDir::with_prefix("netpol-image-").context("making a folder for an image")?;
        extract(archive, folder.path())?;
        let read = |name: &str| {
            let text = fs::read(folder.path().join(name)).with_context(|| format!("reading {name}"))?;
            serde_json::from_slice::<Value>(&text).with_context(|| format!("reading {name}"))
        };
        let manifest = read("manifest.json")?;
        let text = |pointer: &str| {
            let text = manifest.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
            text.with_context(|| format!("manifest.json has no {pointer}"))
        };
        let (name, config) = (text("/0/RepoTags/0")?, read(&text("/0/Config")?)?);
        let root = folder.path().join(ROOT);
        fs::create_dir(&root).context("making the image's root")?;
        let layers = manifest.pointer("/0/Layers").and_then(Value::as_array);
        for layer in layers.into_iter().flatten().filter_map(Value::as_str) {
            extract(&folder.path().join(layer), &root)?;
        }
        Ok(Self { name, config, folder })
    }

    /// The image's name, with its tag.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The image's configuration (`application/vnd.oci.image.config.v1+json`).
    #[must_use]
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// The folder with the image's files.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.path().join(ROOT)
    }
}

fn extract(archive: &Path, folder: &Path) -> Result<()> {
    let output = Command::new("tar")
        .args(["--xattrs", "--xattrs-include=security.capability", "--extract"])
        .arg("--file")
        .arg(archive)
        .arg("--directory")
        .arg(folder)
        .output();
    let output = output.context("starting `tar`")?;
    ensure!(
        output.status.success(),
        "unpacking {}: {}",
        archive.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
