//! Time from a connection that should not be to its finding in /metrics.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use netpol_testkit::{
    http,
    metrics::Samples,
    netns::{Attempt, Lab, Probe, Server},
};

use super::{
    subject::{METRICS, Subject, policy},
    table,
};

const PORT: u16 = 8080;

#[derive(Debug, Parser)]
pub(super) struct LatencyArgs {
    /// How often to measure
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

pub(super) fn run(args: &LatencyArgs) -> Result<()> {
    let LatencyArgs { rounds } = *args;
    // Nobody is admitted, and nobody enforces it.
    let subject = Subject::new(2, &policy("[]"))?;
    let _server = Server::tcp(&subject.pods[1], PORT)?;
    let mut milliseconds = Vec::new();
    for _ in 0..rounds {
        let agent = subject.agent()?;
        let start = Instant::now();
        let attempt = Probe::tcp(subject.pods[1].ip(), PORT).run(&subject.pods[0])?;
        ensure!(attempt == Attempt::Answered, "the connection that should not be ended as {attempt:?}");
        while findings(&subject.lab)? == 0.0 {
            ensure!(start.elapsed() < Duration::from_secs(10), "no finding in /metrics after 10 s");
            thread::sleep(Duration::from_millis(5));
        }
        milliseconds.push(start.elapsed().as_secs_f64() * 1e3);
        agent.stop()?;
    }
    let longest = milliseconds.iter().copied().fold(0.0, f64::max);
    let cells = |value: f64| format!("{value:.1}");
    let rows = [
        table::row(["", "median (ms)", "longest (ms)"]),
        vec!["connect to finding".to_owned(), cells(table::median(milliseconds)), cells(longest)],
    ];
    table::print("From a connection that should not be to the finding in /metrics", &rows);
    Ok(())
}

/// The findings that are open, of all kinds.
fn findings(lab: &Lab) -> Result<f64> {
    let answer = lab.run(|| http::get(METRICS, "/metrics"))?.context("reading /metrics")?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{}", answer.lines().next().unwrap_or_default());
    Ok(Samples::parse(&answer).sum("netpol_findings_open", ""))
}
