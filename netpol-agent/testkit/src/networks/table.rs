//! What came of a story, as a table.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};

use super::{
    cast::Cast,
    judgement::{Fault, Judgement},
    script::Expected,
};
use crate::cluster::Options;

/// The outcomes, in the order of docs/evidence.md, and the case that an agent says nothing.
const OUTCOMES: [&str; 9] = [
    "conforming",
    "enforced",
    "presumed_enforced",
    "unanswered",
    "not_enforced",
    "over_blocked",
    "undecidable",
    "not_applicable",
    NOTHING,
];
const NOTHING: &str = "(nothing)";

/// The most faults of a kind that are shown one by one.
const SHOWN: usize = 12;

/// What the agents said about a story, by what was true.
pub struct Table {
    title: String,
    judgements: Vec<Judgement>,
    failures: Vec<String>,
}

impl Table {
    pub(super) fn new(
        options: Options,
        cast: &Cast,
        judgements: Vec<Judgement>,
        failures: Vec<String>,
    ) -> Self {
        let Options { plugin, uplink, proxy, .. } = options;
        let title = format!("{plugin:?}, uplinks {uplink:?}, proxy {proxy:?}, {} nodes", cast.nodes);
        Self { title, judgements, failures }
    }

    /// The number of false alarms.
    #[must_use]
    pub fn false_alarms(&self) -> usize {
        self.of(Fault::FalseAlarm).count()
    }

    /// The number of leaks that were not told.
    #[must_use]
    pub fn missed_leaks(&self) -> usize {
        self.of(Fault::MissedLeak).count()
    }

    /// Returns true if there is no false alarm and no missed leak, and all daemons of the cluster ran.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.false_alarms() + self.missed_leaks() == 0 && self.failures.is_empty()
    }

    /// What each agent has said, a line each: truth, outcome and the agent's own line, divided by tabs.
    #[must_use]
    pub fn details(&self) -> String {
        let line = |judgement: &Judgement| {
            let Judgement { about, expected, has_arrived, outcome, reason, fault, line, .. } = judgement;
            let outcome = outcome.as_deref().unwrap_or(NOTHING);
            let fault = fault.map(|fault| format!("{fault:?}")).unwrap_or_default();
            format!("{fault}\t{}\t{outcome}\t{reason}\t{about}\t{line}\n", truth(*expected, *has_arrived))
        };
        self.judgements.iter().map(line).collect()
    }

    fn of(&self, fault: Fault) -> impl Iterator<Item = &Judgement> {
        self.judgements.iter().filter(move |judgement| judgement.fault == Some(fault))
    }

    fn rows(&self) -> BTreeMap<(Expected, bool), BTreeMap<&str, usize>> {
        let mut rows: BTreeMap<_, BTreeMap<&str, usize>> = BTreeMap::new();
        for judgement in &self.judgements {
            let row = rows.entry((judgement.expected, judgement.has_arrived)).or_default();
            *row.entry(judgement.outcome.as_deref().unwrap_or(NOTHING)).or_default() += 1;
        }
        rows
    }

    fn undecidable(&self) -> String {
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        let is_undecidable = |judgement: &&Judgement| judgement.outcome.as_deref() == Some("undecidable");
        for judgement in self.judgements.iter().filter(is_undecidable) {
            let reason = if judgement.reason.is_empty() { "other" } else { &judgement.reason };
            *reasons.entry(reason).or_default() += 1;
        }
        let texts: Vec<_> = reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows();
        let columns = OUTCOMES.iter().filter(|outcome| rows.values().any(|row| row.contains_key(**outcome)));
        let columns: Vec<_> = columns.collect();
        let mut head = format!("{:<32}", self.title.split(',').next().unwrap_or_default());
        for column in &columns {
            write!(head, " {column:>17}")?;
        }
        writeln!(formatter, "{}\n{head}", self.title)?;
        for ((expected, has_arrived), row) in &rows {
            write!(formatter, "{:<32}", truth(*expected, *has_arrived))?;
            for column in &columns {
                write!(formatter, " {:>17}", row.get(**column).copied().unwrap_or_default())?;
            }
            writeln!(formatter)?;
        }
        writeln!(formatter, "undecidable: {}", self.undecidable())?;
        for (fault, name) in [(Fault::FalseAlarm, "false alarms"), (Fault::MissedLeak, "missed leaks")] {
            writeln!(formatter, "{name}: {}", self.of(fault).count())?;
            for judgement in self.of(fault).take(SHOWN) {
                let outcome = judgement.outcome.as_deref().unwrap_or(NOTHING);
                writeln!(formatter, "  {outcome}: {}", judgement.about)?;
            }
        }
        for failure in &self.failures {
            writeln!(formatter, "{failure}")?;
        }
        Ok(())
    }
}

fn truth(expected: Expected, has_arrived: bool) -> String {
    let expected = match expected {
        Expected::Allowed => "allowed",
        Expected::Denied => "denied",
        Expected::NotApplicable => "not applicable",
        Expected::Undefined => "undefined",
    };
    format!("{expected}, {}", if has_arrived { "got there" } else { "stopped" })
}
