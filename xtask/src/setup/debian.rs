//! Debian's packages.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};

use crate::tool;

/// Whether this is Debian or one of its descendants.
pub(super) fn is_here() -> bool {
    Path::new("/etc/debian_version").exists() && tool::find("apt-get").is_some()
}

/// Installs packages, and never removes one to make room.
///
/// # Errors
/// Not root, or `apt-get` fails: its own words are on the terminal.
pub(super) fn install(packages: &[&str], for_what: &str) -> Result<()> {
    let names = packages.join(" ");
    ensure!(
        nix::unistd::geteuid().is_root(),
        "{for_what}: Debian's packages {names} are missing, and installing them needs root"
    );
    let apt = || {
        let mut apt = tool::command("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive");
        apt
    };
    // Lists that are too old name versions that the mirrors no longer have. A source of other packages that can't be
    // reached is no reason to give up.
    if let Err(error) = tool::run(apt().args(["update", "--quiet=2"])) {
        eprintln!("    {error:#}; going on with the lists that are there");
    }
    tool::run(
        apt()
            .args(["install", "--yes", "--quiet=2", "--no-install-recommends", "--no-remove"])
            .args(packages),
    )
    .with_context(|| format!("{for_what}: Debian's packages {names} can't be had (see above)"))
}

/// Stops a service that came along with a package of which only a program is of use.
pub(super) fn stop_service(name: &str) {
    let systemd_runs = fs::exists("/run/systemd/system").unwrap_or(false);
    if systemd_runs {
        // It may have been set up not to start at all.
        let _ = tool::run(tool::command("systemctl").args(["disable", "--now", name]));
    }
}
