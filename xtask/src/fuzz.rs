//! Fuzzing, with a time limit: the property tests with many more cases, and bytes as manifests through libFuzzer.

use std::fs;

use anyhow::{Context as _, Result};

use crate::{setup, tool};

/// Seconds for libFuzzer.
const SECONDS: u32 = 60;

/// Runs both; what they find is kept: by proptest beside its test, by libFuzzer in `netpol-agent/fuzz/artifacts`.
pub(crate) fn run() -> Result<()> {
    setup::fuzzing()?;
    tool::run_shown(
        tool::cargo()
            .args(["test", "--release", "--package", "netpol-agent", "--lib"])
            .env("PROPTEST_CASES", "100000")
            .env("PROPTEST_MAX_SHRINK_TIME", "60000"),
    )?;
    manifests()
}

/// Manifests from bytes to verdicts; the scenarios of the tests are what it starts from.
fn manifests() -> Result<()> {
    let agent = tool::root().join("netpol-agent");
    let target = tool::root().join("target/fuzz");
    let corpus = target.join("corpus");
    fs::create_dir_all(&corpus).with_context(|| format!("making {}", corpus.display()))?;
    tool::run_shown(
        tool::cargo()
            .current_dir(&agent)
            .args(["fuzz", "run", "manifests"])
            .arg("--target-dir")
            .arg(&target)
            .arg(&corpus)
            .arg(agent.join("tests/scenarios"))
            .args(["--", &format!("-max_total_time={SECONDS}"), "-max_len=4096"])
            // The sanitizers' flags are unstable.
            .env("RUSTC_BOOTSTRAP", "1"),
    )
}
