//! A node whose process is killed leaves nothing behind.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use xtask::node::{Cni, Node};

/// Nothing here takes so long, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(180);

/// Settings that kubelet changes where they are not what it wants.
const SETTINGS: [&str; 3] = ["vm/overcommit_memory", "kernel/panic", "kernel/keys/root_maxkeys"];

/// What the process that is to be killed says: a trace of its node, and that all are told.
const TRACE: &str = "trace ";
const UP: &str = "the node is up";

/// A process of its own, for the other test to kill.
#[test]
#[ignore = "waits to be killed"]
fn node_that_waits() {
    let node = Node::up(Cni::default()).unwrap();
    for trace in node.traces().unwrap() {
        println!("{TRACE}{}", trace.display());
    }
    println!("{UP}");
    thread::sleep(PATIENCE);
}

#[test]
fn nothing_stays_behind() {
    let settings = || SETTINGS.map(|name| fs::read_to_string(format!("/proc/sys/{name}")).unwrap());
    let before = settings();
    let mut waiting = Command::new(env::current_exe().unwrap());
    let waiting = waiting.args(["--exact", "node_that_waits", "--ignored", "--nocapture"]);
    let mut waiting = waiting.stdout(Stdio::piped()).spawn().unwrap();
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
