//! Other programs: where they are, and running them.

use std::{
    env,
    io::{self, Seek as _},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::{Context as _, Result, bail};

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Where Cargo builds.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A program at the workspace's folder, without stdin.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).stdin(Stdio::null());
    command
}

/// The Cargo that runs this task, without what it tells this program about its own package: build scripts that look at
/// those variables would be run anew after each change between `cargo xtask build` and `cargo build`.
pub(crate) fn cargo() -> Command {
    let mut command = command(&env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"]
            .iter()
            .any(|own| text.starts_with(own))
        {
            command.env_remove(&name);
        }
    }
    command
}

/// Whether commands show what they print, also where nothing is wrong.
static VERBOSE: AtomicBool = AtomicBool::new(false);

/// From now on commands show what they print.
pub(crate) fn be_verbose() {
    VERBOSE.store(true, Ordering::Relaxed);
}

/// Shows the command, runs it, and fails where it does. What it prints is shown in that case alone, or with `--verbose`.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    if VERBOSE.load(Ordering::Relaxed) {
        return run_shown(command);
    }
    let line = announce(command);
    let mut printed = tempfile::tempfile().context("a file for what a command prints")?;
    let copy = || printed.try_clone().context("a second handle of a file");
    let status = command.stdout(copy()?).stderr(copy()?).status();
    let status = status.with_context(|| format!("starting `{line}`"))?;
    if !status.success() {
        printed.rewind().context("what the command printed")?;
        io::copy(&mut printed, &mut io::stderr()).context("showing what the command printed")?;
    }
    check(&line, status)
}

/// The same for a command whose output is what the task is for.
pub(crate) fn run_shown(command: &mut Command) -> Result<()> {
    let line = announce(command);
    let status = command.status().with_context(|| format!("starting `{line}`"))?;
    check(&line, status)
}

fn announce(command: &Command) -> String {
    let line = line(command);
    eprintln!("    $ {line}");
    line
}

fn check(line: &str, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("`{line}` ended with {status}");
    }
    Ok(())
}

/// What the command prints to stdout, where it ends well.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Where a program is: on `PATH`, or where system tools are even if `PATH` leaves them out.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(system).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = [program].into_iter().chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
