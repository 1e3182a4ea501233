//! The flags of the agent are an interface: docs/cli.md and docs/hubble.md name each, and no other.

use std::{collections::BTreeSet, process::Command};

const CLI: &str = include_str!("../../../docs/cli.md");
const HUBBLE: &str = include_str!("../../../docs/hubble.md");

/// All words of a text that are flags.
fn flags(text: &str) -> BTreeSet<&str> {
    let is_outside = |char: char| !(char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-');
    let words = text.split(is_outside);
    let is_flag = |word: &&str| {
        word.strip_prefix("--").is_some_and(|name| name.starts_with(|char: char| char.is_ascii_lowercase()))
    };
    words.filter(is_flag).collect()
}

/// A flag once changed its name with a field of the code.
#[test]
fn the_documents_name_all_of_the_agents() {
    let help = Command::new(env!("CARGO_BIN_EXE_netpol-agent")).args(["run", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let starts = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let own: BTreeSet<&str> = starts.flat_map(flags).filter(|flag| *flag != "--help").collect();
    let section =
        CLI.split("## netpol-agent run").nth(1).unwrap().split("\n## netpol-agent replay").next().unwrap();
    let named = flags(section);
    let foreign: Vec<_> = named.iter().filter(|flag| !own.contains(*flag)).collect();
    assert!(foreign.is_empty(), "docs/cli.md names flags that the agent does not have: {foreign:?}");
    let hubble = flags(HUBBLE);
    let missing: Vec<_> =
        own.iter().filter(|flag| !named.contains(*flag) && !hubble.contains(*flag)).collect();
    assert!(missing.is_empty(), "not in docs/cli.md or docs/hubble.md: {missing:?}");
}
