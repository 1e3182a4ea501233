//! A cluster that does not come up says why, and one whose process is killed leaves nothing behind.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

use std::{
    env,
    fs::{self, Permissions},
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use netpol_testkit::{
    cluster::{Cluster, Options},
    go,
};
use tempfile::TempDir;

/// Nothing here takes so long, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(180);

/// Settings that kubelet changes where they are not what it wants.
const SETTINGS: [&str; 3] = ["vm/overcommit_memory", "kernel/panic", "kernel/keys/root_maxkeys"];

/// What the process that is to be killed says: a trace of its cluster, and that all are told.
const TRACE: &str = "trace ";
const UP: &str = "the cluster is up";

/// A process of its own, for the other test to kill.
#[test]
#[ignore = "waits to be killed"]
fn cluster_that_waits() {
    let cluster = Cluster::up(Options::default()).unwrap();
    for trace in cluster.traces().unwrap() {
        println!("{TRACE}{}", trace.display());
    }
    println!("{UP}");
    thread::sleep(PATIENCE);
}

/// The other process.
fn other() -> Command {
    let mut other = Command::new(env::current_exe().unwrap());
    other.args(["--exact", "cluster_that_waits", "--ignored", "--nocapture"]).stdout(Stdio::piped());
    other
}

#[test]
fn a_daemon_that_fails() {
    if go::is_missing() {
        return;
    }
    let assets = TempDir::with_prefix("netpol-test-").unwrap();
    let etcd = assets.path().join("etcd");
    fs::write(&etcd, "#!/bin/sh\necho no space left >&2\n").unwrap();
    fs::set_permissions(&etcd, Permissions::from_mode(0o755)).unwrap();
    let other = other().env("KUBEBUILDER_ASSETS", assets.path()).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&other.stderr);
    assert!(!other.status.success(), "{said}");
    for words in ["not as long as etcd of node1 has ended", "log/etcd:", "no space left"] {
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn nothing_stays_behind() {
    if go::is_missing() {
        return;
    }
    let settings = || SETTINGS.map(|name| fs::read_to_string(format!("/proc/sys/{name}")).unwrap());
    let before = settings();
    let mut waiting = other().spawn().unwrap();
    let lines = BufReader::new(waiting.stdout.take().unwrap()).lines().map(Result::unwrap);
    let lines: Vec<_> = lines.take_while(|line| line != UP).collect();
    let traces = lines.iter().filter_map(|line| line.strip_prefix(TRACE)).map(Path::new);
    let traces: Vec<_> = traces.collect();
    let left = || traces.iter().filter(|trace| trace.exists()).collect::<Vec<_>>();
    assert_ne!(left().len(), 0, "{lines:?}");
    assert_eq!(left().len(), traces.len());

    waiting.kill().unwrap();
    waiting.wait().unwrap();
    let start = Instant::now();
    while !left().is_empty() {
        assert!(start.elapsed() < PATIENCE, "still there: {:?}", left());
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(settings(), before);
}
