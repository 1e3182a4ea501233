//! The agent's resident memory.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use clap::Parser;
use netpol_testkit::agent::Agent;

use super::{
    connections::{Closing, exchange},
    subject::{Subject, admitting},
    table,
};

/// Connections from one pod to another in a row.
const ROUND: u32 = 100;

#[derive(Debug, Parser)]
pub(super) struct MemoryArgs {
    /// Pods that talk to each other
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(2..=1000))]
    pods: u16,
    /// Connections in all
    #[arg(long, default_value_t = 100_000)]
    connections: u32,
    /// Go on for so many minutes, and measure each minute
    #[arg(long, default_value_t = 0, value_name = "MINUTES")]
    soak: u64,
}

pub(super) fn run(args: &MemoryArgs) -> Result<()> {
    let MemoryArgs { pods, connections, soak } = *args;
    let subject = Subject::new(usize::from(pods), &admitting(8080))?;
    let servers = subject.pods.iter().map(Closing::start).collect::<Result<Vec<_>>>()?;
    let agent = subject.agent()?;
    let mut talk = Talk { subject: &subject, servers: &servers, made: 0 };
    let mut rows = vec![table::row(["when", "connections", "resident (MB)"])];
    let mut measure = |when: &str, made: u32| {
        rows.push(vec![when.to_owned(), made.to_string(), format!("{:.1}", resident(&agent)?)]);
        anyhow::Ok(())
    };
    measure("ready", 0)?;
    while talk.made < connections {
        talk.round()?;
    }
    measure("after all connections", talk.made)?;
    for minute in 1..=soak {
        let start = Instant::now();
        while start.elapsed() < Duration::from_mins(1) {
            talk.round()?;
        }
        measure(&format!("after {minute} min more"), talk.made)?;
    }
    agent.stop()?;
    table::print(&format!("Memory of the agent, {pods} pods"), &rows);
    Ok(())
}

struct Talk<'a> {
    subject: &'a Subject,
    servers: &'a [Closing],
    made: u32,
}

impl Talk<'_> {
    /// From one pod to another, and each time a pair that has not talked for long.
    fn round(&mut self) -> Result<()> {
        let pods = &self.subject.pods;
        let round = (self.made / ROUND) as usize;
        let from = round % pods.len();
        let distance = 1 + round / pods.len() % (pods.len() - 1);
        exchange(&pods[from], self.servers[(from + distance) % pods.len()].address, ROUND)?;
        self.made += ROUND;
        Ok(())
    }
}

/// In MB, of 10⁶ bytes.
pub(super) fn resident(agent: &Agent) -> Result<f64> {
    let path = format!("/proc/{}/status", agent.id());
    let status = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().with_context(|| format!("VmRSS in {path}"))?;
    Ok(kib * 1024.0 / 1e6)
}
