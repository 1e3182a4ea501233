//! Runs programs, with their stderr in the error if they fail.

use std::{
    env,
    ffi::{OsStr, OsString},
    io::Write as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// Creates a command. The program is also searched in the folders of system tools, because a user's `PATH` may not
/// have them.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env("PATH", path());
    command
}

/// The value of `PATH` with the folders of system tools.
pub(crate) fn path() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}

/// Runs `program` with `input` on its stdin. Returns its stdout.
///
/// # Errors
/// The same as for [`output`].
pub(crate) fn run(program: &str, args: &[impl AsRef<OsStr>], input: &str) -> Result<String> {
    output(command(program).args(args), input)
}

/// Runs a command with `input` on its stdin. Returns its stdout.
///
/// # Errors
/// The program can't be started, or ends with a failure. The error has its stderr.
pub(crate) fn output(command: &mut Command, input: &str) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let missing = || format!("starting `{program}` (`cargo xtask setup` installs it)");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(missing)?;
    if let Some(mut stdin) = child.stdin.take() {
        // This fails if the program does not read its input. Its exit status shows whether that is an error.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().with_context(missing)?;
    if !output.status.success() {
        let args: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("`{program} {}` ended with {}: {}\n{input}", args.join(" "), output.status, complaint.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
