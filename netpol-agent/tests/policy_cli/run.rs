//! Runs the command.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

/// What became of a run.
pub(crate) struct Run {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) status: i32,
}

pub(crate) fn netpol(arguments: &[&str]) -> Run {
    netpol_with_input(arguments, "")
}

/// Runs it in another folder than that of the package.
pub(crate) fn netpol_in(folder: &Path, arguments: &[&str]) -> Run {
    run(folder, arguments, "")
}

pub(crate) fn netpol_with_input(arguments: &[&str], input: &str) -> Run {
    run(Path::new(env!("CARGO_MANIFEST_DIR")), arguments, input)
}

fn run(folder: &Path, arguments: &[&str], input: &str) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_netpol"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that does not read its input has ended by now, and says itself why.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Run {
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
        status: output.status.code().unwrap(),
    }
}

/// The users' scenarios, each a folder with manifests, queries with their answers, and findings.
pub(crate) const SCENARIOS: [&str; 12] = [
    "01-default-deny",
    "02-dns-after-default-deny",
    "03-cloud-metadata",
    "04-namespace-isolation",
    "05-and-against-or",
    "06-three-tiers",
    "07-egress",
    "08-gateway",
    "09-typo",
    "10-not-enforced",
    "11-one-side-forgotten",
    "12-service-port",
];

/// The manifests of a scenario.
pub(crate) fn scenario(name: &str) -> String {
    format!("tests/scenarios/{name}/manifests.yaml")
}
