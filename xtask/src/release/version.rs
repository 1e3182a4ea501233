//! The version of a release, and whether the tree is ready for it.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::tool;

/// The workspace's version: that of the release.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A release is made of a commit, and of texts that agree about its version.
pub(super) fn check(allow_dirty: bool) -> Result<()> {
    if !allow_dirty {
        let changes = tool::output(tool::command("git").args(["status", "--porcelain"]))
            .context("`git status` fails: a release is made of a commit")?;
        ensure!(
            changes.is_empty(),
            "files differ from the last commit (--allow-dirty for a trial):\n{changes}"
        );
    }
    let read =
        |path: &str| fs::read_to_string(tool::root().join(path)).with_context(|| format!("reading {path}"));
    agree(VERSION, &read("CHANGELOG.md")?, &read("deploy/chart/Chart.yaml")?)
}

/// The changelog has a section for the version, and the chart is of it.
fn agree(version: &str, changelog: &str, chart: &str) -> Result<()> {
    let heading = format!("## [{version}]");
    ensure!(
        changelog.lines().any(|line| line.starts_with(&heading)),
        "CHANGELOG.md has no section `{heading}`"
    );
    for line in [format!("version: {version}"), format!("appVersion: {version}")] {
        ensure!(chart.lines().any(|it| it == line), "deploy/chart/Chart.yaml has no line `{line}`");
    }
    Ok(())
}

/// The time of the commit in seconds since 1970, which is that of all files of the release. `SOURCE_DATE_EPOCH` wins.
pub(super) fn epoch() -> Result<u64> {
    let named = std::env::var("SOURCE_DATE_EPOCH").ok();
    let seconds = named.or_else(|| tool::output(tool::command("git").args(["log", "-1", "--format=%ct"])));
    let seconds = seconds.context("`git log` fails: a release is made of a commit")?;
    seconds.trim().parse().with_context(|| format!("`{}` is no number of seconds", seconds.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_agree() {
        let (changelog, chart) =
            ("## [Unreleased]\n\n## [1.2.3] - 2026-01-01\n", "version: 1.2.3\nappVersion: 1.2.3\n");
        for (version, changelog, chart, fine) in [
            ("1.2.3", changelog, chart, true),
            ("1.2.3", "## [Unreleased]\n", chart, false),
            ("1.2.4", changelog, chart, false),
            ("1.2.3", changelog, "version: 1.2.3\nappVersion: 1.2.2\n", false),
            ("1.2.3", changelog, "version: 1.2.2\nappVersion: 1.2.3\n", false),
        ] {
            assert_eq!(agree(version, changelog, chart).is_ok(), fine, "{version} {changelog} {chart}");
        }
    }

    /// The tree is always ready, save for changes that are not committed yet.
    #[test]
    fn this_tree_is_ready() {
        check(true).unwrap();
    }
}
