//! Compares what the agent told with what really happened.

use std::collections::BTreeMap;

use super::{
    oracle::Verdict,
    report::{Wrong, WrongKind},
    told::{self, Line, Lines},
    truth::{Evidence, Truth},
    tuple::Tuple,
};

/// The outcome of a connection about which the agent has no line.
pub(super) const UNTOLD: &str = "untold";

const NOT_ENFORCED: &str = "not_enforced";
const OVER_BLOCKED: &str = "over_blocked";
const UNDECIDABLE: &str = "undecidable";

/// What a round came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// The number of connections by truth and outcome.
    pub(super) outcomes: BTreeMap<(Truth, String), u64>,
    /// The number of undecidable connections by truth and reason.
    pub(super) undecidable: BTreeMap<(Truth, String), u64>,
    pub(super) wrong: Vec<Wrong>,
}

/// Compares each connection of a round.
pub(super) fn compare(evidence: &Evidence, lines: &Lines, seed: u64) -> Tally {
    let mut tally = Tally::default();
    let untold: Vec<Line> = Vec::new();
    let mut all: Vec<(Tuple, &[Line])> =
        lines.iter().map(|(tuple, lines)| (*tuple, lines.as_slice())).collect();
    let unsaid = evidence.opened().into_iter().filter(|tuple| !lines.contains_key(tuple));
    all.extend(unsaid.map(|tuple| (tuple, untold.as_slice())));
    for (tuple, own) in all {
        let truth = evidence.truth(tuple);
        let line = told::decisive(own, truth == Truth::Leak);
        let outcome = line.map_or(UNTOLD, |line| &line.outcome);
        if truth == Truth::Service && line.is_none() {
            // It became one to an endpoint, which is told.
            continue;
        }
        *tally.outcomes.entry((truth, outcome.to_owned())).or_default() += 1;
        if outcome == UNDECIDABLE {
            let reason = line.map(|line| line.reason.clone()).unwrap_or_default();
            *tally.undecidable.entry((truth, reason)).or_default() += 1;
        }
        if let Some(kind) = wrong(evidence, lines, tuple, truth, line) {
            tally.wrong.push(Wrong::new(evidence, seed, kind, tuple, truth, own));
        }
    }
    tally
}

/// What is wrong with what was told about a connection, if anything.
fn wrong(
    evidence: &Evidence,
    lines: &Lines,
    tuple: Tuple,
    truth: Truth,
    line: Option<&Line>,
) -> Option<WrongKind> {
    if truth == Truth::Flood {
        return None;
    }
    let Some(line) = line else {
        return (truth == Truth::Leak && !is_told_of_service(evidence, lines, tuple))
            .then_some(WrongKind::MissedLeak);
    };
    match line.outcome.as_str() {
        NOT_ENFORCED if !may_be_leak(evidence, tuple, truth) => Some(WrongKind::FalseLeak),
        OVER_BLOCKED if !may_be_blocked(evidence, tuple, truth) => Some(WrongKind::FalseBlock),
        NOT_ENFORCED | OVER_BLOCKED | UNDECIDABLE => None,
        _ if truth == Truth::Leak => Some(WrongKind::MissedLeak),
        _ => disagrees(truth, line).then_some(WrongKind::OtherVerdict),
    }
}

fn may_be_leak(evidence: &Evidence, tuple: Tuple, truth: Truth) -> bool {
    match truth {
        Truth::Leak => true,
        Truth::Changing => evidence.has_arrived(tuple) && evidence.verdicts(tuple).contains(&Verdict::Denied),
        Truth::Service => {
            evidence.translated(tuple).into_iter().any(|way| may_be_leak(evidence, way, evidence.truth(way)))
        }
        _ => false,
    }
}

fn may_be_blocked(evidence: &Evidence, tuple: Tuple, truth: Truth) -> bool {
    match truth {
        Truth::Blocked => true,
        Truth::Changing => {
            evidence.enforcement.stops(tuple) && evidence.verdicts(tuple).contains(&Verdict::Allowed)
        }
        // What somebody else forged is no evidence, even if it was dropped.
        Truth::Stray => evidence.enforcement.stops(tuple) && !evidence.track(tuple).left.is_empty(),
        Truth::Service => evidence
            .translated(tuple)
            .into_iter()
            .any(|way| may_be_blocked(evidence, way, evidence.truth(way))),
        _ => false,
    }
}

/// Whether the agent blames the connection to the Service that this one was before translation.
fn is_told_of_service(evidence: &Evidence, lines: &Lines, tuple: Tuple) -> bool {
    let Some(plan) = evidence.plan(tuple) else { return false };
    let lines = lines.get(&plan.tuple).map(Vec::as_slice).unwrap_or_default();
    told::decisive(lines, true)
        .is_some_and(|line| [NOT_ENFORCED, UNDECIDABLE].contains(&line.outcome.as_str()))
}

/// Whether the agent takes the policies for something else than they are.
fn disagrees(truth: Truth, line: &Line) -> bool {
    match truth {
        Truth::KeptOut => line.expected == "allowed",
        Truth::Unhindered | Truth::Blocked => line.expected == "denied",
        _ => false,
    }
}
