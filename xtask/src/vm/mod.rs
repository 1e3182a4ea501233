//! A virtual machine with another kernel, on this machine's files: for what the running kernel can't show, such as what
//! the verifier of an older one refuses.
//!
//! The machine's root is read-only and fresh folders lie over `/tmp` and `/run`, so that nothing outlives it.

mod initramfs;
mod kernel;

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

pub(crate) use kernel::Kernel;

/// Memory of the machine, in MiB.
const MEMORY: u32 = 3072;

/// The last line that the machine prints, before the command's exit status.
const STATUS: &str = "the command's exit status: ";

/// Runs a command in the current folder of a machine with this kernel; its output comes here.
///
/// # Errors
/// The machine does not start, or the command fails in it.
pub(crate) fn run(kernel: &Kernel, command: &[String]) -> Result<()> {
    ensure!(!command.is_empty(), "a command is needed");
    let folder = TempDir::with_prefix("netpol-vm-").context("making a folder for the machine")?;
    let initramfs = initramfs::build(folder.path(), kernel, command)?;
    let mut machine = Command::new("qemu-system-x86_64");
    machine.args(["-accel", "tcg", "-cpu", "max", "-smp", "2", "-m"]).arg(MEMORY.to_string());
    machine.args(["-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio"]);
    machine.arg("-kernel").arg(&kernel.image).arg("-initrd").arg(initramfs);
    machine.args(["-append", "console=ttyS0 loglevel=3 panic=-1"]);
    machine.args(["-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"]);
    let mut machine = machine
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting `qemu-system-x86_64` (Debian's package qemu-system-x86)")?;
    let output = machine.stdout.take().context("the machine's output")?;
    let mut status = None;
    for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        match line.trim_end().strip_prefix(STATUS) {
            Some(text) => status = Some(text.to_owned()),
            None => println!("{}", line.trim_end()),
        }
    }
    machine.wait().context("waiting for the machine")?;
    match status.as_deref() {
        Some("0") => Ok(()),
        Some(status) => bail!("`{}` ended with {status} on {}", command.join(" "), kernel.version),
        None => bail!("the machine with {} ended before the command did", kernel.version),
    }
}
