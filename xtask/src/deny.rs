//! The crates that netpol is built of: their licences, sources and security advisories, by `cargo deny` and `deny.toml`.

use std::process::Stdio;

use anyhow::Result;

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
    let fetched = fetch.stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !fetched.is_ok_and(|status| status.success()) {
        eprintln!(
            "    advisories: not checked, the database is unreachable (https://github.com/RustSec/advisory-db)"
        );
        return Ok(());
    }
    tool::run(tool::cargo().args(["deny", "--locked", "check", "--disable-fetch", "advisories"]))
}
