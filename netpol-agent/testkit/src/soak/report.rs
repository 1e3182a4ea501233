//! The report: tables of what really happened against what the agent told, and what it got wrong.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    net::SocketAddr,
};

use super::{
    judge::Tally,
    sniffer::Sight,
    told::Line,
    truth::{Evidence, Truth},
    tuple::Tuple,
};

/// How many wrong verdicts of one kind about one enforcer are printed in full.
const SHOWN: u64 = 4;

/// How many packets of a connection are printed.
const PACKETS: usize = 12;

/// In which way a verdict is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WrongKind {
    /// `not_enforced`, and no packet that is denied got in.
    FalseLeak,
    /// `over_blocked`, and nobody stopped on purpose what is allowed.
    FalseBlock,
    /// A packet that is denied got in, and the agent says something else than `not_enforced` or `undecidable`, or
    /// nothing.
    MissedLeak,
    /// What the agent takes for allowed is denied, or the other way round.
    OtherVerdict,
}

impl WrongKind {
    const fn name(self) -> &'static str {
        match self {
            Self::FalseLeak => "false alarm: not_enforced",
            Self::FalseBlock => "false alarm: over_blocked",
            Self::MissedLeak => "missed leak",
            Self::OtherVerdict => "other verdict",
        }
    }
}

/// A wrong verdict, with what is needed to look into it.
#[derive(Clone, Debug)]
pub struct Wrong {
    /// In which way it is wrong.
    pub kind: WrongKind,
    /// The name of the enforcer.
    pub enforcer: &'static str,
    /// All about it, in several lines.
    details: String,
}

impl Wrong {
    pub(super) fn new(
        evidence: &Evidence,
        seed: u64,
        kind: WrongKind,
        tuple: Tuple,
        truth: Truth,
        lines: &[Line],
    ) -> Self {
        let enforcer = evidence.enforcement.enforcer.name;
        let mut details = String::new();
        // Writing to a String can't fail.
        let _ = write_details(&mut details, evidence, tuple, truth, lines);
        let details = format!("{}, seed {seed}, enforcer {enforcer}: {details}", kind.name());
        Self { kind, enforcer, details }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.details)
    }
}

fn write_details(
    out: &mut String,
    evidence: &Evidence,
    tuple: Tuple,
    truth: Truth,
    lines: &[Line],
) -> fmt::Result {
    let name = |end: SocketAddr| {
        let epoch = evidence.epochs.iter().find_map(|epoch| epoch.member(end.ip()));
        epoch.map_or_else(|| "?".to_owned(), |member| format!("{}/{}", member.namespace, member.name))
    };
    writeln!(out, "{tuple} ({} -> {}): {}", name(tuple.from), name(tuple.to), truth.name())?;
    if let Some(plan) = evidence.plan(tuple) {
        writeln!(out, "    opened by {:?} at {:?}, to {}", plan.activity, plan.at, plan.tuple.to)?;
    }
    let verdicts = evidence.verdicts(tuple);
    writeln!(out, "    policies: {verdicts:?}; enforcer stops it: {}", evidence.enforcement.stops(tuple))?;
    for (way, title) in [(tuple, "its packets"), (tuple.reversed(), "the other direction")] {
        let track = evidence.track(way);
        let (left, arrived) = (packets(&track.left), packets(&track.arrived));
        writeln!(out, "    {title}: left {left}, arrived {arrived}")?;
        if !track.forged.is_empty() {
            writeln!(out, "    arrived, and made by others: {}", packets(&track.forged))?;
        }
    }
    if lines.is_empty() {
        writeln!(out, "    the agent: nothing")?;
    }
    lines.iter().try_for_each(|line| writeln!(out, "    the agent: {}", line.text))
}

fn packets(sights: &[Sight]) -> String {
    let one = |sight: &Sight| {
        let mark = sight.mark;
        format!("{:.3} s (flags {:#04x} seq {:#x})", sight.at.as_secs_f64(), mark.flags, mark.sequence)
    };
    let shown: Vec<_> = sights.iter().take(PACKETS).map(one).collect();
    let more = if sights.len() > PACKETS { ", …" } else { "" };
    format!("{}: [{}{more}]", sights.len(), shown.join(", "))
}

/// What all rounds came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// By enforcer.
    tallies: BTreeMap<&'static str, Tally>,
    rounds: u64,
    /// Connections that could not be made, with the first error.
    failures: (u64, Option<String>),
}

impl Report {
    pub(super) fn add(&mut self, enforcer: &'static str, tally: Tally, failures: Vec<String>) {
        self.rounds += 1;
        self.failures.0 += failures.len() as u64;
        if let (None, Some(first)) = (&self.failures.1, failures.into_iter().next()) {
            self.failures.1 = Some(first);
        }
        let all = self.tallies.entry(enforcer).or_default();
        for (key, count) in tally.outcomes {
            *all.outcomes.entry(key).or_default() += count;
        }
        for (key, count) in tally.undecidable {
            *all.undecidable.entry(key).or_default() += count;
        }
        all.wrong.extend(tally.wrong);
    }

    /// All wrong verdicts.
    pub fn wrong(&self) -> impl Iterator<Item = &Wrong> {
        self.tallies.values().flat_map(|tally| &tally.wrong)
    }

    /// The number of connections that were compared.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.tallies.values().flat_map(|tally| tally.outcomes.values()).sum()
    }

    /// The number of connections that are denied and of which a packet got in.
    #[must_use]
    pub fn leaks(&self) -> u64 {
        let outcomes = self.tallies.values().flat_map(|tally| &tally.outcomes);
        outcomes.filter(|((truth, _), _)| *truth == Truth::Leak).map(|(_, count)| count).sum()
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        for (enforcer, tally) in &self.tallies {
            table(out, enforcer, tally)?;
        }
        let mut total = Tally::default();
        for tally in self.tallies.values() {
            add(&mut total.outcomes, &tally.outcomes);
            add(&mut total.undecidable, &tally.undecidable);
        }
        table(out, "all enforcers", &total)?;
        writeln!(out, "undecidable:")?;
        for ((truth, reason), count) in &total.undecidable {
            writeln!(out, "  {:<20} {reason:<18} {count:>7}", truth.name())?;
        }
        let (open, judged) = share(&total);
        let percent = 100.0 * open as f64 / judged.max(1) as f64;
        writeln!(
            out,
            "undecidable outside of changes, where the API leaves nothing open: {open} of {judged} ({percent:.2} %)"
        )?;
        let (failures, first) = (self.failures.0, self.failures.1.as_deref().unwrap_or_default());
        let connections = self.connections();
        writeln!(out, "{} rounds, {connections} connections, {failures} not made {first}", self.rounds)?;
        let mut kinds = BTreeMap::<(WrongKind, &str), u64>::new();
        let mut shown = Vec::new();
        for wrong in self.wrong() {
            let count = kinds.entry((wrong.kind, wrong.enforcer)).or_default();
            *count += 1;
            shown.extend((*count <= SHOWN).then_some(wrong));
        }
        writeln!(out, "wrong verdicts: {}", self.wrong().count())?;
        kinds.iter().try_for_each(|((kind, enforcer), count)| {
            writeln!(out, "  {:<28} {enforcer:<24} {count:>6}", kind.name())
        })?;
        shown.into_iter().try_for_each(|wrong| writeln!(out, "\n{wrong}"))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write(&mut text)?;
        f.write_str(&text)
    }
}

/// How many connections are undecidable, and how many there are: outside of changes, and where the policies decide.
fn share(tally: &Tally) -> (u64, u64) {
    let counts =
        |truth: &Truth| matches!(truth, Truth::Leak | Truth::KeptOut | Truth::Unhindered | Truth::Blocked);
    let open = tally.undecidable.iter().filter(|((truth, reason), _)| counts(truth) && reason != "undefined");
    let all = tally.outcomes.iter().filter(|((truth, _), _)| counts(truth));
    (open.map(|(_, count)| count).sum(), all.map(|(_, count)| count).sum())
}

fn add(all: &mut BTreeMap<(Truth, String), u64>, more: &BTreeMap<(Truth, String), u64>) {
    for (key, count) in more {
        *all.entry(key.clone()).or_default() += count;
    }
}

/// One line for each kind of truth, one column for each outcome that occurs.
fn table(out: &mut String, title: &str, tally: &Tally) -> fmt::Result {
    let mut outcomes: Vec<&str> = tally.outcomes.keys().map(|(_, outcome)| outcome.as_str()).collect();
    outcomes.sort_unstable();
    outcomes.dedup();
    let mut truths: Vec<Truth> = tally.outcomes.keys().map(|(truth, _)| *truth).collect();
    truths.dedup();
    write!(out, "{title:<24}")?;
    outcomes.iter().try_for_each(|outcome| write!(out, " {outcome:>17}"))?;
    writeln!(out)?;
    for truth in truths {
        write!(out, "  {:<22}", truth.name())?;
        for outcome in &outcomes {
            let count = tally.outcomes.get(&(truth, (*outcome).to_owned())).copied().unwrap_or_default();
            write!(out, " {count:>17}")?;
        }
        writeln!(out)?;
    }
    writeln!(out)
}
