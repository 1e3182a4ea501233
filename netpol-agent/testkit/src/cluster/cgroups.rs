//! The control groups of a node.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

const ROOT: &str = "/sys/fs/cgroup";

/// Creates the node's parent control group in every hierarchy. The supervisor removes it.
pub(super) fn make(name: &str) -> Result<()> {
    for group in of(name)? {
        fs::create_dir_all(&group).with_context(|| format!("making control group {}", group.display()))?;
        let hierarchy = group.parent().unwrap_or(&group);
        // In version 1, a group of this hierarchy can't be used before these are set.
        for setting in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(value) = fs::read(hierarchy.join(setting)) {
                let path = group.join(setting);
                fs::write(&path, value).with_context(|| format!("writing {}", path.display()))?;
            }
        }
    }
    Ok(())
}

/// The paths of the node's parent control group in every hierarchy.
pub(super) fn of(name: &str) -> Result<Vec<PathBuf>> {
    Ok(hierarchies()?.into_iter().map(|hierarchy| hierarchy.join(name)).collect())
}

/// The hierarchies: one with version 2, several with version 1.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let is_hierarchy = |path: &Path| path.join("cgroup.procs").exists();
    if is_hierarchy(Path::new(ROOT)) {
        return Ok(vec![PathBuf::from(ROOT)]);
    }
    let context = || format!("listing {ROOT}");
    let entries = fs::read_dir(ROOT).with_context(context)?;
    let paths = entries.map(|entry| Ok(entry.with_context(context)?.path())).collect::<Result<Vec<_>>>()?;
    Ok(paths.into_iter().filter(|path| is_hierarchy(path)).collect())
}
