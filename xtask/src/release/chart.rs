//! The chart as one file, for `helm install`.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};
use netpol_testkit::helm::{CHART, Helm};
use tempfile::TempDir;

use super::{
    archive,
    version::{VERSION, epoch},
};
use crate::tool;

/// Packages it; returns where it is. Helm writes the present time into its archives, so what it packed is packed anew.
pub(super) fn package(helm: &Helm, folder: &Path) -> Result<PathBuf> {
    let work = TempDir::with_prefix("netpol-chart-").context("making a folder for the chart")?;
    let output = tool::command(&helm.path().to_string_lossy())
        .args(["package", CHART, "--destination"])
        .arg(work.path())
        .stdin(Stdio::null())
        .output()
        .context("starting Helm")?;
    ensure!(output.status.success(), "helm package: {}", String::from_utf8_lossy(&output.stderr));
    let name = format!("netpol-{VERSION}.tgz");
    let mut unpack = tool::command("tar");
    unpack.args(["--extract", "--file", &name]).current_dir(work.path());
    tool::output(&mut unpack).with_context(|| format!("unpacking {name}"))?;
    let packed = folder.join(&name);
    archive::pack(&work.path().join("netpol"), &packed, epoch()?)?;
    Ok(packed)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_package_renders_like_the_folder() {
        let helm = Helm::find_or_fetch().unwrap();
        let [one, two] = [(); 2].map(|()| TempDir::with_prefix("netpol-test-").unwrap());
        let packages = [&one, &two].map(|folder| package(&helm, folder.path()).unwrap());
        let [first, second] = packages.each_ref().map(|path| fs::read(path).unwrap());
        assert!(first == second, "packaging twice makes two packages");
        let mut template = tool::command(&helm.path().to_string_lossy());
        template.args(["template", "netpol"]).arg(&packages[0]).args(["--namespace", "netpol"]);
        assert_eq!(tool::output(&mut template).unwrap(), helm.template(&[]).unwrap());
    }
}
