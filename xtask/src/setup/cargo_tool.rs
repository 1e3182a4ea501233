//! Programs that `cargo install` builds: Cargo's subcommands that do not come with it.

use anyhow::Result;

use super::{found, missing};
use crate::tool;

/// A subcommand of Cargo, such as `cargo deny`.
pub(super) struct CargoTool {
    /// The crate and the program, such as `cargo-deny`.
    name: &'static str,
    /// `None` takes the newest.
    version: Option<&'static str>,
    /// What it is for.
    purpose: &'static str,
}

/// Lists in a binary what it was built of.
pub(super) const AUDITABLE: CargoTool = CargoTool {
    name: "cargo-auditable",
    version: Some("0.7.7"),
    purpose: "lists in the agent what it was built of",
};

/// Checks the crates that netpol is built of.
pub(super) const DENY: CargoTool =
    CargoTool { name: "cargo-deny", version: Some("0.20.2"), purpose: "checks licences and advisories" };

/// Lists what a release is made of.
pub(super) const CYCLONEDX: CargoTool =
    CargoTool { name: "cargo-cyclonedx", version: Some("0.5.9"), purpose: "lists the parts of a release" };

/// Runs the fuzzers.
pub(super) const FUZZ: CargoTool =
    CargoTool { name: "cargo-fuzz", version: None, purpose: "drives libFuzzer" };

impl CargoTool {
    /// Builds the tool if it is not on PATH.
    ///
    /// # Errors
    /// Cargo can't build it: its own words are on the terminal.
    pub(super) fn install(&self) -> Result<()> {
        let Self { name, version, purpose } = self;
        if tool::find(name).is_some() {
            found(name, "on PATH");
            return Ok(());
        }
        missing(name, &format!("{purpose}; it is built from source, which takes a minute or two"));
        let mut install = tool::cargo();
        install.args(["install", name, "--locked"]);
        // Unoptimised, they are built in less than half of the time, and are fast enough.
        install.args(["--profile", "dev"]).env("CARGO_PROFILE_DEV_DEBUG", "0");
        if let Some(version) = version {
            install.args(["--version", version]);
        }
        tool::run(&mut install)
    }
}
