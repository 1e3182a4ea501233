//! `test`: everything that decides on a change; and `ci`, which goes on for longer.

use std::{
    env, fs, io,
    path::{self, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use netpol_testkit::skip;

use crate::{deny, docs, fuzz, prerequisites::Prerequisites, setup, soak, stage::Stages, tidy, tool};

#[derive(Debug, Parser)]
pub(crate) struct TestArgs {
    /// Arguments for `cargo test`, such as a part of a test's name; then only tests run, no other checks
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    cargo_test: Vec<String>,
}

pub(crate) fn run(args: &TestArgs) -> Result<()> {
    let TestArgs { cargo_test } = args;
    let stages = Stages::start();
    check(&stages, cargo_test)?;
    report_skipped()?;
    stages.done("all tests passed");
    Ok(())
}

pub(crate) fn ci() -> Result<()> {
    let stages = Stages::start();
    check(&stages, &[])?;
    stages.run("an older kernel", older_kernel)?;
    stages.run("fuzz, with a time limit", fuzz::run)?;
    stages.run("soak, for an hour", soak::for_an_hour)?;
    report_skipped()?;
    stages.done("all checks passed");
    Ok(())
}

/// The kernel tests in a virtual machine with Debian's stable kernel. Emulated, it is slow: one test at a time.
fn older_kernel() -> Result<()> {
    // Building the tests has put another file in this one's place: the path by which it was started leads to that.
    let task = env::args_os().next().context("the path of this program")?;
    let task = path::absolute(task).context("the path of this program")?;
    let runner = format!("target.'cfg(all())'.runner=[{:?}, \"vm\", \"--\"]", task.display().to_string());
    let mut cargo = tool::cargo();
    cargo.args(["test", "--package", "netpol-agent", "--test", "kernel", "--config", &runner]);
    cargo.env(skip::LIST, skipped());
    tool::run_shown(cargo.args(["--", "--test-threads", "1"]))
}

fn check(stages: &Stages, cargo_test: &[String]) -> Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "the kernel tests make network namespaces and load eBPF programs: run this as root"
    );
    // What an earlier run has skipped is no news.
    let _ = fs::remove_file(skipped());
    stages.run("set up", setup::run)?;
    if cargo_test.is_empty() {
        stages.run("tidy", tidy::run)?;
        stages.run("format", || tool::run(tool::cargo().args(["fmt", "--all", "--check"])))?;
        stages.run("lints", || {
            tool::run(tool::cargo().args(["clippy", "--all-targets", "--", "--deny", "warnings"]))
        })?;
        stages.run("documentation", docs::run)?;
        stages.run("licences and advisories", deny::run)?;
    }
    stages.run("build the tests", || tool::run(tool::cargo().args(["test", "--no-run"])))?;
    Prerequisites::of(cargo_test)?.make(stages)?;
    stages.run("test", || {
        tool::run_shown(tool::cargo().arg("test").args(cargo_test).env(skip::LIST, skipped()))
    })
}

/// Where tests note that they did not run.
fn skipped() -> PathBuf {
    tool::target().join("skipped-tests")
}

/// Lists the tests that did not run, in the order in which they were skipped.
fn report_skipped() -> Result<()> {
    let list = match fs::read_to_string(skipped()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        list => list.context("reading the list of skipped tests")?,
    };
    match list.lines().count() {
        0 => println!("No test was skipped."),
        count => println!("Skipped, {count} in all:"),
    }
    list.lines().for_each(|line| println!("  {line}"));
    Ok(())
}
