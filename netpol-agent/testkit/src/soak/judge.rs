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

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::Duration};

    use super::{
        super::{
            enforcement::Enforcement,
            enforcer::ENFORCERS,
            member::Member,
            oracle::Epoch,
            plan::{Activity, Opener, Planned},
            policy::{Admission, Policy, PortRange},
            sniffer::{Mark, Sight, Sights},
            tuple::Transport,
        },
        *,
    };

    const AT: Duration = Duration::from_secs(5);

    fn member(name: &str, ip: &str) -> Member {
        let ips = vec![ip.parse().unwrap()];
        Member { name: name.to_owned(), namespace: "blue", label: ("app", "web"), ips }
    }

    /// Two pods, of which the second takes connections to port 80 alone.
    fn epoch() -> Epoch {
        let web = PortRange { transport: Transport::Tcp, first: 80, last: 80 };
        let policy = Policy {
            name: "web".to_owned(),
            namespace: "blue",
            selects: None,
            ingress: Some(vec![Admission { peers: Vec::new(), ports: vec![web] }]),
            egress: None,
        };
        let members = vec![member("a", "10.0.0.1"), member("b", "10.0.0.2")];
        Epoch { since: Duration::ZERO, members, policies: vec![policy] }
    }

    /// What is wrong with an outcome, if a packet of the pod's own or a forged one arrived.
    fn judged(port: u16, left: bool, arrived: bool, outcome: Option<&str>) -> Vec<WrongKind> {
        let from: SocketAddr = "10.0.0.1:20000".parse().unwrap();
        let tuple =
            Tuple { transport: Transport::Tcp, from, to: SocketAddr::new([10, 0, 0, 2].into(), port) };
        let sight = |is_arrival| Sight { at: AT, is_arrival, tuple, mark: Mark::default() };
        let at = |ip: &str, is_arrival, seen: bool| Sights {
            ips: vec![ip.parse().unwrap()],
            packets: if seen { vec![sight(is_arrival)] } else { Vec::new() },
        };
        let sights = [at("10.0.0.1", false, left), at("10.0.0.2", true, arrived)];
        let plan = Planned { at: AT, opener: Opener::Member(0), activity: Activity::Connect, tuple };
        let enforcement = Enforcement::new(ENFORCERS[0], 0);
        let evidence = Evidence::new(
            vec![epoch()],
            enforcement,
            vec![plan],
            BTreeMap::new(),
            Duration::from_secs(1),
            &sights,
        );
        let line = |outcome: &str| Line {
            expected: if port == 80 { "allowed" } else { "denied" }.to_owned(),
            reason: String::new(),
            outcome: outcome.to_owned(),
            text: String::new(),
        };
        let lines: Lines = outcome.map(|outcome| (tuple, vec![line(outcome)])).into_iter().collect();
        compare(&evidence, &lines, 0).wrong.into_iter().map(|wrong| wrong.kind).collect()
    }

    #[test]
    fn every_kind_of_wrong_verdict_is_found() {
        let (yes, no) = (true, false);
        for (port, left, arrived, outcome, expected) in [
            (81, yes, yes, Some("not_enforced"), None),
            (81, yes, yes, Some("undecidable"), None),
            (81, yes, yes, Some("enforced"), Some(WrongKind::MissedLeak)),
            (81, yes, yes, Some("presumed_enforced"), Some(WrongKind::MissedLeak)),
            (81, yes, yes, None, Some(WrongKind::MissedLeak)),
            (81, yes, no, Some("enforced"), None),
            (81, yes, no, None, None),
            (81, yes, no, Some("not_enforced"), Some(WrongKind::FalseLeak)),
            // Somebody else's packet.
            (81, no, yes, Some("enforced"), None),
            (81, no, yes, Some("not_enforced"), Some(WrongKind::FalseLeak)),
            (80, yes, yes, Some("conforming"), None),
            (80, yes, yes, Some("over_blocked"), Some(WrongKind::FalseBlock)),
            (80, yes, no, Some("over_blocked"), Some(WrongKind::FalseBlock)),
            (80, yes, yes, Some("not_enforced"), Some(WrongKind::FalseLeak)),
        ] {
            let found = judged(port, left, arrived, outcome);
            assert_eq!(found, Vec::from_iter(expected), "{port} left {left} arrived {arrived} {outcome:?}");
        }
    }
}
