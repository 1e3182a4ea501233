//! The agent beside real network plugins. For each plugin, a cluster of two nodes is started, the agent is installed as a
//! user does it, and every pair of a small cast talks in every way. What the agents say is compared with the truth:
//! packets that sniffers inside the pods have seen.

mod agents;
mod cast;
mod contact;
mod judgement;
mod script;
mod sniffer;
mod table;
mod truth;

use std::{path::Path, thread, time::Duration};

use anyhow::Result;

use crate::cluster::{Cluster, Options};
use agents::Agents;
use cast::Cast;
use judgement::Judgement;

pub use table::Table;

/// The time for plugins and agents to take in the policies. The agent itself judges nothing for five seconds after a
/// change that matters.
const SETTLE: Duration = Duration::from_secs(15);

/// The time after the last packet in which an agent decides on everything it has seen, twice where it looks wrong.
const DECIDE: Duration = Duration::from_secs(15);

/// Plays the story on a new cluster with the agent's image. Returns what came of it.
///
/// # Errors
/// The cluster or the agent does not start, or a contact can't be made.
pub fn play(options: Options, image: &Path) -> Result<Table> {
    let cluster = Cluster::up(options)?;
    cluster.import(image)?;
    let agents = Agents::install(&cluster)?;
    let cast = Cast::enter(&cluster)?;
    thread::sleep(SETTLE);
    let script = script::write(&cast);
    let sniffers = cast.sniff()?;
    let results = contact::make_all(&cast, &script)?;
    thread::sleep(DECIDE);
    let seen = sniffers.stop()?;
    let lines = agents.lines()?;
    let failures = cluster.failures()?;
    let judgements = Judgement::all(&cast, &script, &results, &seen, &lines);
    Ok(Table::new(options, &cast, judgements, failures))
}
