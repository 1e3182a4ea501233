//! Where the node's containers are accounted for.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

const ROOT: &str = "/sys/fs/cgroup";

/// Makes the control group that all of the node's are in, in every hierarchy. The supervisor removes them.
pub(super) fn make(name: &str) -> Result<()> {
    for group in of(name)? {
        fs::create_dir_all(&group).with_context(|| format!("making control group {}", group.display()))?;
        let hierarchy = group.parent().unwrap_or(&group);
        // In version 1, a group of this hierarchy is of no use before it has these.
        for setting in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(value) = fs::read(hierarchy.join(setting)) {
                let path = group.join(setting);
                fs::write(&path, value).with_context(|| format!("writing {}", path.display()))?;
            }
        }
    }
    Ok(())
}

/// That control group in every hierarchy.
pub(super) fn of(name: &str) -> Result<Vec<PathBuf>> {
    Ok(hierarchies()?.into_iter().map(|hierarchy| hierarchy.join(name)).collect())
}

/// The one of version 2, or those of version 1.
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
