//! The crates that netpol is built of: their licences, sources and security advisories, by `cargo deny` and `deny.toml`.

use anyhow::{Context as _, Result};

use crate::{setup, tool};

/// How long fetching the advisory database may take, in seconds.
const FETCH_LIMIT: &str = "60";

/// Checks licences, banned crates and sources always, and advisories where their database can be fetched.
///
/// # Errors
/// A crate is refused, or `cargo deny` can't be had.
pub(crate) fn run() -> Result<()> {
    setup::dependency_check()?;
    tool::run(
        tool::cargo()
            .args(["deny", "--locked", "check", "--hide-inclusion-graph"])
            .args(["licenses", "bans", "sources"]),
    )?;
    advisories()
}

/// A database that can't be reached fails no build, but is always said.
fn advisories() -> Result<()> {
    let cargo = tool::cargo();
    let mut fetch = tool::command("timeout");
    fetch.args(["--kill-after=5", FETCH_LIMIT]).arg(cargo.get_program()).args(["deny", "fetch", "db"]);
    let fetched = fetch.output().context("starting `timeout`")?;
    if !fetched.status.success() {
        let said = String::from_utf8_lossy(&fetched.stderr);
        eprintln!("    advisories: not checked, the database is unreachable: {}", reason(&said));
        return Ok(());
    }
    tool::run(tool::cargo().args(["deny", "--locked", "check", "--disable-fetch", "advisories"]))
}

/// Why it can't be fetched: what git or cargo-deny said last. Past the limit, neither has said anything.
fn reason(said: &str) -> String {
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
    last.map_or_else(|| format!("no answer within {FETCH_LIMIT} seconds"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons() {
        for (said, shown) in [
            (
                "[ERROR] failed to clone\nCloning into 'db'...\nfatal: could not resolve host\n\n",
                "fatal: could not resolve host",
            ),
            ("", "no answer within 60 seconds"),
            ("\n \n", "no answer within 60 seconds"),
        ] {
            assert_eq!(reason(said), shown, "{said:?}");
        }
    }
}
