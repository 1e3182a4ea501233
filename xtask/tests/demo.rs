//! However the demo ends, it leaves nothing behind.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use netpol_testkit::wait::eventually;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

/// Gets ready, and ends when it is asked to.
const PATIENT: &str = "trap 'echo flushed; exit 0' TERM\necho ready >&2\nwhile :; do sleep 0.05; done";

/// Says why it can't go on, and ends.
const FAILING: &str = "echo 'no BTF here' >&2\nexit 3";

/// The demo with a script in the place of the agent.
struct Demo {
    child: Child,
    folder: TempDir,
}

impl Demo {
    fn start(script: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let agent = folder.path().join("agent");
        let pid = folder.path().join("pid");
        fs::write(&agent, format!("#!/bin/sh\necho $$ > {}\n{script}\n", pid.display())).unwrap();
        fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(folder.path().join("tmp")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args([Path::new("demo"), Path::new("--agent"), &agent])
            .env("TMPDIR", folder.path().join("tmp"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    fn wait_for_agent(&self) {
        eventually("the agent runs", || self.agent().is_some_and(|agent| agent.exists()));
        assert!(!self.is_clean(), "the manifests are not where this test looks for them");
    }

    /// The agent's folder in /proc.
    fn agent(&self) -> Option<PathBuf> {
        let pid = fs::read_to_string(self.folder.path().join("pid")).ok()?;
        (!pid.trim().is_empty()).then(|| Path::new("/proc").join(pid.trim()))
    }

    fn is_clean(&self) -> bool {
        fs::read_dir(self.folder.path().join("tmp")).unwrap().next().is_none()
    }

    fn finish(self) -> (Output, Vec<String>) {
        let Self { child, folder } = self;
        let output = child.wait_with_output().unwrap();
        let left = fs::read_dir(folder.path().join("tmp")).unwrap();
        let left = left.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        let pid = fs::read_to_string(folder.path().join("pid")).unwrap();
        eventually("the agent is gone", || !Path::new("/proc").join(pid.trim()).exists());
        (output, left)
    }
}

#[test]
fn interrupted() {
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let demo = Demo::start(PATIENT);
        demo.wait_for_agent();
        kill(Pid::from_raw(demo.child.id().cast_signed()), signal).unwrap();
        let (output, left) = demo.finish();
        assert_eq!((output.status.code(), left), (Some(code), vec![]), "{signal}");
    }
}

#[test]
fn killed() {
    let mut demo = Demo::start(PATIENT);
    demo.wait_for_agent();
    demo.child.kill().unwrap();
    demo.finish();
}

#[test]
fn agent_fails() {
    let (output, left) = Demo::start(FAILING).finish();
    assert_eq!((output.status.code(), left), (Some(1), vec![]));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("no BTF here"), "{complaint}");
}

#[test]
fn to_its_end() {
    let (output, left) = Demo::start(PATIENT).finish();
    assert_eq!((output.status.code(), left), (Some(0), vec![]));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.ends_with("\nflushed\n"), "{told}");
}
