//! Runs programs with the capabilities of a container, and no others.

use std::path::Path;

use anyhow::{Context as _, Result};
use caps::Capability;

/// Mounts the namespaces of folder `$1` there, for `$2` and its arguments alone.
const MOUNT: &str = "folder=$1; shift; \
    files=$(cd \"$folder\"; for file in *; do echo \"$file=$(readlink \"$file\")\"; done); \
    mount -t tmpfs tmpfs \"$folder\"; \
    for file in $files; do \
    own=\"$folder/${file%%=*}\"; : > \"$own\"; mount --bind \"${file#*=}\" \"$own\"; \
    done; exec \"$@\"";

/// The arguments that start a program in a mount namespace of its own, in which a lab's folder of namespaces is as a
/// container runtime makes it: each file is a mount. A lab's own files are links, which only root with all capabilities can
/// follow.
#[must_use]
pub fn with_mounted(namespaces: &Path, program: Vec<String>) -> Vec<String> {
    let script = ["unshare", "--mount", "sh", "-ec", MOUNT, "sh"].map(str::to_owned);
    script.into_iter().chain([namespaces.display().to_string()]).chain(program).collect()
}

/// The arguments with which `capsh` starts a program that has only these capabilities and can't gain more. They are
/// named as in Kubernetes (`NET_ADMIN`). If a folder is given, it becomes the root of the file system. The program's
/// own arguments follow.
///
/// A user other than root (0) has the capabilities only until the program starts, as in a container of runc. It keeps
/// the ones that the program's file has, too.
///
/// # Errors
/// There is no capability with such a name.
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
