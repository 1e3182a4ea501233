//! What the running kernel has to offer.

use std::{fs, path::Path};

use anyhow::{Result, bail};

use super::found;

const BTF: &str = "/sys/kernel/btf/vmlinux";

/// Without a kernel's own type information the programs can't be loaded, and nothing that `setup` installs helps.
pub(super) fn check() -> Result<()> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    if !Path::new(BTF).exists() {
        bail!(
            "kernel {release} has no {BTF}: netpol needs a Linux kernel built with CONFIG_DEBUG_INFO_BTF=y, as \
             distributions' kernels are (in a container: mount /sys)"
        );
    }
    found("kernel", &format!("{release}, with type information (BTF)"));
    Ok(())
}
