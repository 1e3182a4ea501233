//! The compact format: one line per connection and finding, in the order and style of `hubble observe -o compact`.

use jiff::tz::TimeZone;

use crate::model::{Expected, Finding, FindingKind, FindingStatus, Flow, Outcome, Undecidable};
use crate::sink::format;

/// The line for a flow.
pub(super) fn flow(flow: &Flow) -> String {
    let attempt = &flow.attempt;
    let source = format::endpoint(&flow.source, attempt.tuple.source, attempt);
    let destination = format::endpoint(&flow.destination, attempt.tuple.destination, attempt);
    let via = format::via(flow);
    let observed = attempt.observed.name();
    let drop = flow.drop_reason.as_ref().map_or_else(String::new, |reason| format!(" {reason}"));
    format!(
        "{}: {source} -> {destination}{via} {} {observed}{drop} {} ({})",
        time(flow.time),
        attempt.tuple.protocol,
        outcome(flow.outcome),
        why(&flow.expected),
    )
}

/// The line for a finding.
pub(super) fn finding(finding: &Finding) -> String {
    let status = match finding.status {
        FindingStatus::Open => "FINDING",
        FindingStatus::Resolved => "RESOLVED",
        FindingStatus::Expired => "EXPIRED",
    };
    format!("{}: {status} {}", time(finding.last_seen), about(finding))
}

/// The description of a finding, without time and status.
pub(super) fn about(finding: &Finding) -> String {
    let key = &finding.key;
    let port = if key.protocol.has_ports() { format!(":{}", key.port) } else { String::new() };
    let policies = match key.kind {
        FindingKind::NotEnforced => {
            let denials: Vec<String> = finding.denials.iter().map(format::denial).collect();
            format!("denied: {}", denials.join("; "))
        }
        FindingKind::OverBlocked if finding.policies.is_empty() => {
            "allowed: no policy selects either side".to_owned()
        }
        FindingKind::OverBlocked => format!("allowed: by {}", format::policies(&finding.policies)),
    };
    format!(
        "{} {} -> {}{port} {}; {policies}; evidence: {}",
        key.kind.name(),
        key.source.name,
        key.destination.name,
        key.protocol,
        finding.evidence
    )
}

/// The time in Hubble's format.
fn time(at: jiff::Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%b %e %H:%M:%S.%3f").to_string()
}

/// The name of the outcome. The two errors are in upper case.
fn outcome(outcome: Outcome) -> String {
    match outcome {
        Outcome::NotEnforced | Outcome::OverBlocked => outcome.name().to_uppercase(),
        _ => outcome.name().to_owned(),
    }
}

fn why(expected: &Expected) -> String {
    match expected {
        Expected::Allowed { by } if by.is_empty() => "allowed: no policy".to_owned(),
        Expected::Allowed { by } => {
            let rules: Vec<String> = by
                .iter()
                .map(|rule| format!("{} {} rule {}", rule.policy, rule.direction, rule.index))
                .collect();
            format!("allowed by {}", rules.join(", "))
        }
        Expected::Denied { by } => {
            let denials: Vec<String> = by.iter().map(format::denial).collect();
            format!("denied {}", denials.join("; "))
        }
        Expected::NotApplicable(why) => format::not_applicable(*why).replace('_', " "),
        Expected::Undecidable(Undecidable::Undefined(note)) => format!("undefined: {note}"),
        Expected::Undecidable(why) => format::undecidable(why).replace('_', " "),
    }
}
