//! The licences of all that is in the binaries, as their authors ask to have them passed on.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::tool;

/// What it is called in a release.
pub(super) const FILE: &str = "THIRD-PARTY-NOTICES.txt";

const HEAD: &str = "\
What the binaries of netpol are built of, beside netpol itself, and under which licences.

The binaries are linked statically. They contain the Rust standard library (MIT OR Apache-2.0), the GNU C Library
(LGPL-2.1-or-later) and the crates below, of which btf-rs is under LGPL-2.1-or-later. Whoever wants to link them with other
versions of these libraries can do that from netpol's source of the same version: `cargo xtask build --static`.
";

/// A crate's name and version, and its licence as an SPDX expression.
type Name = String;

/// Writes the notices for what the agent and the command are built of.
pub(super) fn write(folder: &Path) -> Result<()> {
    let file = folder.join(FILE);
    fs::write(&file, notices(&metadata()?)?).with_context(|| format!("writing {}", file.display()))
}

/// What Cargo knows of the workspace, for all platforms that a release has.
fn metadata() -> Result<Value> {
    let mut metadata = tool::cargo();
    metadata.args(["metadata", "--format-version", "1", "--locked"]);
    for target in ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"] {
        metadata.args(["--filter-platform", target]);
    }
    let text = tool::output(&mut metadata).context("`cargo metadata` fails")?;
    serde_json::from_str(&text).context("reading what `cargo metadata` prints")
}

fn notices(metadata: &Value) -> Result<String> {
    let mut text = HEAD.to_owned();
    let mut licences: BTreeMap<String, BTreeSet<Name>> = BTreeMap::new();
    for package in linked(metadata)? {
        let field = |name: &str| package[name].as_str().unwrap_or_default();
        let name = format!("{} {} ({})", field("name"), field("version"), field("license"));
        text += &format!("\n- {name}");
        let folder = Path::new(field("manifest_path")).parent().context("a crate without a folder")?;
        for licence in texts(folder)? {
            licences.entry(licence).or_default().insert(name.clone());
        }
    }
    text.push('\n');
    // Each text once, with the crates that have it.
    for (licence, names) in licences {
        let names: Vec<_> = names.into_iter().collect();
        text += &format!("\n{}\n{}\n\n{licence}\n", "=".repeat(80), names.join("\n"));
    }
    Ok(text)
}

/// The packages from elsewhere that are linked into the agent.
fn linked(metadata: &Value) -> Result<Vec<&Value>> {
    let list =
        |value: &'static str, at: &'static str| metadata[value][at].as_array().context("cargo's metadata");
    let packages = metadata["packages"].as_array().context("cargo's metadata has no packages")?;
    let packages: BTreeMap<_, _> = packages.iter().map(|package| (package["id"].as_str(), package)).collect();
    let nodes: BTreeMap<_, _> =
        list("resolve", "nodes")?.iter().map(|node| (node["id"].as_str(), node)).collect();
    let root =
        packages.values().find(|package| package["name"] == "netpol-agent").context("no netpol-agent")?;
    let mut reached = BTreeSet::new();
    let mut waiting = vec![root["id"].as_str()];
    while let Some(id) = waiting.pop() {
        if !reached.insert(id) {
            continue;
        }
        let dependencies = nodes.get(&id).and_then(|node| node["deps"].as_array()).into_iter().flatten();
        waiting.extend(dependencies.filter(|it| is_normal(it)).map(|it| it["pkg"].as_str()));
    }
    let foreign = reached.into_iter().filter_map(|id| packages.get(&id).copied());
    Ok(foreign.filter(|package| !package["source"].is_null()).collect())
}

/// Neither for the build nor for tests.
fn is_normal(dependency: &Value) -> bool {
    let kinds = dependency["dep_kinds"].as_array();
    kinds.into_iter().flatten().any(|kind| kind["kind"].is_null())
}

/// The texts of the licences and notices in a crate's folder.
fn texts(folder: &Path) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry.with_context(|| format!("reading {}", folder.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        let is_licence =
            ["LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE"].iter().any(|it| name.starts_with(it));
        if is_licence && path.is_file() {
            let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            texts.push(String::from_utf8_lossy(&bytes).replace('\r', "").trim_end().to_owned());
        }
    }
    texts.sort();
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_and_nothing_else() {
        let notices = notices(&metadata().unwrap()).unwrap();
        let named = |name: &str| notices.lines().any(|line| line.starts_with(&format!("- {name} ")));
        for (name, linked) in [
            ("tokio", true),
            ("btf-rs", true),
            ("ring", true),
            // Only for the build, for tests, for another platform, and our own.
            ("tonic-prost-build", false),
            ("divan", false),
            ("windows-sys", false),
            ("netpol-common", false),
        ] {
            assert_eq!(named(name), linked, "{name}");
        }
        assert!(notices.contains("GNU LESSER GENERAL PUBLIC LICENSE"));
        assert!(notices.contains("Copyright (c) Tokio Contributors"));
    }
}
