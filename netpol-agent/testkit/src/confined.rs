//! Programs with the rights of a container, and no more.

use std::path::Path;

use anyhow::{Context as _, Result};
use caps::Capability;

/// How `capsh` starts a program with these capabilities alone (named as Kubernetes does, `NET_ADMIN`), which it can't get
/// more of; where a folder is given, with that as the file system's root. The program's own arguments follow.
///
/// Another user than root (0) holds them until the program starts, as in a container of runc, and keeps those that the
/// program's file has, too.
///
/// # Errors
/// There is no capability of such a name.
pub fn capsh(capabilities: &[&str], user: u32, root: Option<&Path>, program: &Path) -> Result<Vec<String>> {
    let kept: Vec<Capability> = capabilities
        .iter()
        .map(|name| format!("CAP_{name}").parse().with_context(|| format!("capability {name}")))
        .collect::<Result<_>>()?;
    let dropped = caps::all().into_iter().filter(|capability| !kept.contains(capability));
    let dropped: Vec<String> = dropped.map(|capability| capability.index().to_string()).collect();
    let root = root.map(|root| format!("--chroot={}", root.display()));
    let names: Vec<String> = kept.iter().map(ToString::to_string).collect();
    let become_user = [
        format!("--gid={user}"),
        format!("--groups={user}"),
        "--keep=1".to_owned(),
        format!("--uid={user}"),
        format!("--caps={}=ep", names.join(",").to_lowercase()),
    ];
    Ok(["capsh".to_owned()]
        .into_iter()
        .chain(root)
        .chain([format!("--drop={}", dropped.join(","))])
        .chain(become_user.into_iter().filter(|_| user != 0))
        .chain(["--no-new-privs".to_owned(), format!("--shell={}", program.display()), "--".to_owned()])
        .collect())
}
