//! The soak: random clusters, enforcers and traffic, and the agent's verdicts compared with what really happened.
//!
//! A round is one lab with random pods, policies and Services, one enforcer with its own mistakes, and a few hundred
//! connections. All choices come from the round's seed.
//!
//! | question | answered by |
//! |---|---|
//! | what do the policies say? | `oracle`: the soak's own model of them |
//! | what does the enforcer stop on purpose? | `enforcement`: the soak made its rules |
//! | which packets left, and which arrived? | `sniffer`: a packet socket in each pod's own network namespace |
//! | what does the agent say? | `told`: its JSON lines |
//!
//! `truth` joins the first three, `judge` compares them with the fourth. No answer comes from the agent's code.

mod attack;
mod bytecode;
mod cluster;
mod enforcement;
mod enforcer;
mod faults;
mod judge;
mod member;
mod oracle;
mod plan;
mod policy;
mod report;
mod round;
mod ruleset;
mod service;
mod sniffer;
mod told;
mod traffic;
mod truth;
mod tuple;
mod world;

use std::{
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result};

pub use report::{Report, Wrong, WrongKind};

/// What to run.
#[derive(Clone, Debug)]
pub struct Soak {
    /// The agent's program.
    pub agent: PathBuf,
    /// The seed of the first round. Each following round has the next number.
    pub seed: u64,
    /// The number of rounds.
    pub rounds: u64,
    /// The number of connections in a round, about.
    pub connections: usize,
    /// The number of rounds at the same time, each in a lab of its own.
    pub jobs: usize,
    /// Whether pods also send hostile packets.
    pub attacks: bool,
}

impl Soak {
    /// Runs all rounds, and tells `progress` of each.
    ///
    /// # Errors
    /// A round can't be run, for example because the process lacks root's capabilities. The error has its seed. Wrong
    /// verdicts are no error, but a part of the report.
    pub fn run(&self, progress: impl Fn(&str) + Sync) -> Result<Report> {
        let report = Mutex::new(Report::default());
        let next = AtomicU64::new(0);
        let work = || -> Result<()> {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= self.rounds {
                    return Ok(());
                }
                let seed = self.seed.wrapping_add(number);
                let round = round::run(self, seed).with_context(|| format!("the round with seed {seed}"))?;
                progress(&round.summary);
                let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
                report.add(round.enforcer, round.tally, round.failures);
            }
        };
        thread::scope(|scope| -> Result<()> {
            let threads: Vec<_> = (0..self.jobs.max(1)).map(|_| scope.spawn(work)).collect();
            for thread in threads {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            }
            Ok(())
        })?;
        Ok(report.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}
