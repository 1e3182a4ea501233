//! Programs with the rights of a container, and no more.

use std::path::Path;

use anyhow::{Context as _, Result};
use caps::Capability;

/// How `capsh` starts a program as root with these capabilities alone (named as Kubernetes does, `NET_ADMIN`), which it
/// can't get more of; where a folder is given, with that as the file system's root. The program's own arguments follow.
///
/// # Errors
/// There is no capability of such a name.
pub fn capsh(capabilities: &[&str], root: Option<&Path>, program: &Path) -> Result<Vec<String>> {
    let kept: Vec<Capability> = capabilities
        .iter()
        .map(|name| format!("CAP_{name}").parse().with_context(|| format!("capability {name}")))
        .collect::<Result<_>>()?;
    let dropped = caps::all().into_iter().filter(|capability| !kept.contains(capability));
    let dropped: Vec<String> = dropped.map(|capability| capability.index().to_string()).collect();
    let root = root.map(|root| format!("--chroot={}", root.display()));
    Ok(["capsh".to_owned()]
        .into_iter()
        .chain(root)
        .chain([
            format!("--drop={}", dropped.join(",")),
            "--no-new-privs".to_owned(),
            format!("--shell={}", program.display()),
            "--".to_owned(),
        ])
        .collect())
}
