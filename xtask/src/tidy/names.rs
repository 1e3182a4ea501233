//! Names of types: in a crate, one name means one thing.

use std::collections::BTreeMap;

use super::Problem;

/// Folders of sources that are a crate each; the longest that fits counts.
const CRATES: [&str; 7] = [
    "netpol-agent/src/",
    "netpol-agent/src/bin/netpol-agent.rs",
    "netpol-agent/src/bin/netpol/",
    "netpol-agent/testkit/src/",
    "netpol-common/src/",
    "netpol-ebpf/src/",
    "xtask/src/",
];

/// What makes a type.
const KEYWORDS: [&str; 5] = ["struct", "enum", "union", "trait", "type"];

/// The public types of all files that have been looked at.
#[derive(Default)]
pub(super) struct Names {
    /// By crate and name: where each type of that name is.
    found: BTreeMap<(&'static str, String), Vec<(String, usize)>>,
}

impl Names {
    /// Takes note of the types in a file, whose comments and strings are blanked out.
    pub(super) fn add(&mut self, path: &str, code: &str) {
        let home = CRATES.iter().filter(|home| path.starts_with(**home)).max_by_key(|home| home.len());
        let (Some(home), false) = (home, path.contains("/tests/") || path.ends_with("/tests.rs")) else {
            return;
        };
        for (line, text) in code.lines().enumerate() {
            // Modules of tests come last in a file.
            if text.starts_with("#[cfg(test)]") {
                break;
            }
            if let Some(name) = public_type(text) {
                self.found.entry((home, name.to_owned())).or_default().push((path.to_owned(), line + 1));
            }
        }
    }

    /// Every type whose name another one of its crate has.
    pub(super) fn clashes(&self) -> Vec<Problem> {
        let clashes = self.found.iter().filter(|(_, places)| places.len() > 1);
        clashes
            .flat_map(|((_, name), places)| {
                let others = |own: &(String, usize)| {
                    let others = places.iter().filter(|place| *place != own);
                    others.map(|(path, line)| format!("{path}:{line}")).collect::<Vec<_>>().join(", ")
                };
                places.iter().map(move |place| {
                    let what =
                        format!("another public type of this crate is called `{name}`: {}", others(place));
                    Problem::new(&place.0, place.1, what)
                })
            })
            .collect()
    }
}

/// The name of the type that a line declares, if it is public, be it only inside its crate.
fn public_type(line: &str) -> Option<&str> {
    // What is indented belongs to an item: an associated type, or something inside a function.
    let rest = line.strip_prefix("pub")?;
    let rest = match rest.strip_prefix('(') {
        Some(inside) => inside.split_once(')')?.1,
        None => rest,
    };
    let mut words = rest.split_whitespace().skip_while(|word| *word == "unsafe");
    let keyword = words.next()?;
    let name = words.next().filter(|_| KEYWORDS.contains(&keyword))?;
    let end = name.find(|char: char| !char.is_alphanumeric() && char != '_').unwrap_or(name.len());
    name.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations() {
        for (line, name) in [
            ("pub struct Flow {", Some("Flow")),
            ("pub(super) enum Peer<'a> {", Some("Peer")),
            ("pub(in crate::sink) type Nodes = X;", Some("Nodes")),
            ("pub(crate) unsafe trait Read: Sized {", Some("Read")),
            ("pub struct Id(u32);", Some("Id")),
            ("struct Flow {", None),
            ("    pub type Item = u32;", None),
            ("pub fn flow() {", None),
            ("pub use model::Flow;", None),
        ] {
            assert_eq!(public_type(line), name, "{line}");
        }
    }

    #[test]
    fn clashes() {
        let (a, b) = ("netpol-agent/src/a.rs", "netpol-agent/src/b/c.rs");
        let flow = "pub struct Flow;";
        for (files, found) in [
            (vec![(a, flow), (b, "\npub(super) enum Flow {}")], vec![(a, 1), (b, 2)]),
            (vec![(a, flow), (b, "struct Flow;")], vec![]),
            (vec![(a, flow), ("netpol-agent/src/bin/netpol/main.rs", flow)], vec![]),
            (vec![(a, flow), ("netpol-agent/src/b/tests.rs", flow)], vec![]),
            (vec![(a, flow), (b, "#[cfg(test)]\nmod tests {}\npub struct Flow;")], vec![]),
            (vec![(a, flow), ("xtask/src/a.rs", flow)], vec![]),
        ] {
            let mut names = Names::default();
            files.iter().for_each(|(path, code)| names.add(path, code));
            let problems = names.clashes();
            let places: Vec<_> =
                problems.iter().map(|problem| (problem.path.as_str(), problem.line)).collect();
            assert_eq!(places, found, "{files:?}");
        }
    }
}
