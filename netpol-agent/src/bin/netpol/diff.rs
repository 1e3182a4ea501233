//! `netpol diff`: what a change permits or takes away.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use netpol_agent::{
    cluster::manifests::{self, ManifestFile, Manifests},
    declared::DeclaredState,
    diff::{Change, ChangedConnection, ConnectionDiff},
};
use serde_json::{Value, json};

use crate::{
    print::{print, say},
    style::{bad, good, unsure},
};

/// Compare what two sets of manifests permit: connections that are added, removed, or change their ports.
///
/// Each set is a file, a folder, or a path in a Git revision (git:REVISION:PATH). The exit status is 0 if nothing changed, 1
/// if something did, and 2 if one of the sets can't be read.
#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The manifests before.
    old: String,
    /// The manifests after.
    new: String,
    /// The output format.
    #[arg(long, short, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    /// A table, for a pull request.
    Markdown,
    Json,
    Sarif,
}

impl Diff {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let Self { old, new, output } = self;
        let (before, after) = (load(&old)?, load(&new)?);
        let diff = ConnectionDiff::new(&before, &after);
        print(&match output {
            Output::Text => text(&diff),
            Output::Markdown => markdown(&diff),
            Output::Json => serde_json::to_string_pretty(&diff)? + "\n",
            Output::Sarif => serde_json::to_string_pretty(&sarif(&diff, &new))? + "\n",
        })?;
        Ok(ExitCode::from(u8::from(!diff.changes.is_empty())))
    }
}

/// A set of manifests. One that can't be read in full would make connections appear or vanish that do not.
fn load(set: &str) -> Result<DeclaredState> {
    let manifests: Manifests = match set.strip_prefix("git:") {
        Some(revision) => manifests::read(&of_revision(revision)?),
        None => manifests::load(&[PathBuf::from(set)])?,
    };
    for error in &manifests.errors {
        say(format_args!("netpol: {error}"));
    }
    if !manifests.errors.is_empty() {
        bail!("{set}: {} of the objects could not be loaded", manifests.errors.len());
    }
    Ok(DeclaredState::new(manifests))
}

/// The files of `REVISION:PATH`, from the Git repository of the current folder.
fn of_revision(text: &str) -> Result<Vec<ManifestFile>> {
    let Some((revision, path)) = text.split_once(':') else {
        bail!("{text:?} names no files of a revision: write git:REVISION:PATH");
    };
    if revision.starts_with('-') {
        bail!("{revision:?} is no revision");
    }
    let path = if path.is_empty() { "." } else { path };
    let listed = git(&["ls-tree", "-r", "-z", "--name-only", revision, "--", path])?;
    let mut names: Vec<String> = String::from_utf8_lossy(&listed)
        .split('\0')
        .filter(|name| !name.is_empty() && (*name == path || manifests::is_manifest(Path::new(name))))
        .map(str::to_owned)
        .collect();
    names.sort();
    if names.is_empty() {
        bail!("no manifest in {path} of revision {revision}");
    }
    let read = |name: String| {
        let bytes = git(&["show", &format!("{revision}:./{name}")])?;
        let mut file = ManifestFile::new(name.as_str(), bytes)?;
        file.is_found = name != path;
        Ok(file)
    };
    names.into_iter().map(read).collect()
}

fn git(arguments: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new("git").args(arguments).output().context("can't run git")?;
    if !output.status.success() {
        bail!("git {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

fn ports(connection: &ChangedConnection) -> String {
    match (&connection.before, &connection.after) {
        (Some(before), Some(after)) => format!("{before} -> {after}"),
        (Some(ports), None) | (None, Some(ports)) => ports.clone(),
        (None, None) => String::new(),
    }
}

fn text(diff: &ConnectionDiff) -> String {
    let mut text = String::new();
    for connection in &diff.changes {
        let mark = match connection.change {
            Change::Added => good("+"),
            Change::Removed => bad("-"),
            Change::Changed => unsure("~"),
        };
        let _ = writeln!(text, "{mark} {} -> {}: {}", connection.from, connection.to, ports(connection));
    }
    let count = |change| diff.changes.iter().filter(|connection| connection.change == change).count();
    let _ = writeln!(
        text,
        "added: {}, removed: {}, changed: {}",
        count(Change::Added),
        count(Change::Removed),
        count(Change::Changed)
    );
    text
}

fn markdown(diff: &ConnectionDiff) -> String {
    if diff.changes.is_empty() {
        return "No connection is permitted otherwise than before.\n".to_owned();
    }
    let mut text = String::from("| | from | to | before | after |\n|---|---|---|---|---|\n");
    for ChangedConnection { change, from, to, before, after } in &diff.changes {
        let word = match change {
            Change::Added => "added",
            Change::Removed => "**removed**",
            Change::Changed => "changed",
        };
        let ports = |ports: &Option<String>| ports.clone().unwrap_or_else(|| "none".to_owned());
        let _ = writeln!(text, "| {word} | `{from}` | `{to}` | {} | {} |", ports(before), ports(after));
    }
    text
}

fn sarif(diff: &ConnectionDiff, new: &str) -> Value {
    let rule = |change: Change| match change {
        Change::Added => "connection-added",
        Change::Removed => "connection-removed",
        Change::Changed => "connection-changed",
    };
    let results: Vec<Value> = diff
        .changes
        .iter()
        .map(|connection| {
            let text = format!(
                "{} -> {}: permitted on {} before, on {} after",
                connection.from,
                connection.to,
                connection.before.as_deref().unwrap_or("no port"),
                connection.after.as_deref().unwrap_or("no port")
            );
            json!({
                "ruleId": rule(connection.change),
                "level": "note",
                "message": { "text": text },
                "locations": [{ "physicalLocation": {
                    "artifactLocation": { "uri": new },
                    "region": { "startLine": 1 },
                } }],
            })
        })
        .collect();
    let rules = [Change::Added, Change::Removed, Change::Changed].map(|change| json!({ "id": rule(change) }));
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "netpol", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "results": results,
        }],
    })
}
