//! Renders the chart to plain manifests, for clusters without Helm.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};

use crate::helm::Helm;

const HEAD: &str = "# What the chart beside this file renders to with its default values, and a namespace. `cargo xtask render` writes it.\n\
                    #     kubectl apply --filename netpol.yaml\n";

/// The path of the rendered manifests.
#[must_use]
pub fn path() -> PathBuf {
    crate::root().join("deploy/netpol.yaml")
}

/// Renders the manifests from the current chart.
///
/// # Errors
/// Helm can't render the chart.
pub fn render(helm: &Helm) -> Result<String> {
    let objects = helm.template(&["--set", "createNamespace=true"])?;
    Ok(format!("{HEAD}{objects}"))
}

/// Renders the manifests and writes them to their file.
///
/// # Errors
/// The same as for [`render`], or the file can't be written.
pub fn write(helm: &Helm) -> Result<()> {
    let path = path();
    fs::write(&path, render(helm)?).with_context(|| format!("writing {}", path.display()))
}
