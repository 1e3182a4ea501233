//! What may lie in the top folder: it is the first thing that a newcomer sees.

use std::collections::BTreeSet;

use super::Problem;

const ALLOWED: [&str; 25] = [
    ".cargo",
    ".ci",
    ".dockerignore",
    ".editorconfig",
    ".gitattributes",
    ".github",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "SECURITY.md",
    "clippy.toml",
    "deny.toml",
    "deploy",
    "docs",
    "netpol-agent",
    "netpol-common",
    "netpol-ebpf",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "xtask",
];

pub(super) fn check(files: &[String]) -> Vec<Problem> {
    let entries: BTreeSet<_> = files.iter().filter_map(|path| path.split('/').next()).collect();
    let strange = entries.into_iter().filter(|entry| !ALLOWED.contains(entry));
    strange.map(|entry| Problem::new(entry, 0, "does not belong in the top folder")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strange_entries_are_found() {
        for (files, strange) in [
            (vec!["Cargo.toml", "xtask/src/main.rs", ".ci/run", "rustfmt.toml"], vec![]),
            (vec!["notes.md", "docs/notes.md"], vec!["notes.md"]),
            (vec!["scripts/a", "scripts/b"], vec!["scripts"]),
        ] {
            let files: Vec<_> = files.into_iter().map(str::to_owned).collect();
            let found: Vec<_> = check(&files).into_iter().map(|problem| problem.path).collect();
            assert_eq!(found, strange);
        }
    }
}
