//! The note of an Event: a finding as a sentence for people.

use crate::model::{Finding, FindingEndpoint, FindingKind, FindingStatus};
use crate::sink::format;

/// The API's limit for a note, in bytes.
const MAX_NOTE: usize = 1024;

/// Replaces the part that is cut off.
const CUT: &str = "…";

/// The source and destination, what was observed, and the policies that contradict it. The policies are last because
/// their list can be long.
pub(super) fn note(finding: &Finding) -> String {
    let key = &finding.key;
    let endpoints = [endpoint(&key.source), endpoint(&key.destination)];
    let way = if key.protocol.has_ports() {
        format!("on {} port {}", key.protocol, key.port)
    } else {
        format!("by {}", key.protocol)
    };
    let what = match finding.status {
        FindingStatus::Open => opened(key.kind, &endpoints, &way, &finding.evidence),
        FindingStatus::Resolved | FindingStatus::Expired => closed(key.kind, &endpoints, &way),
    };
    cut(format!("{what} {}.", policies(finding)), MAX_NOTE)
}

fn opened(kind: FindingKind, [source, destination]: &[String; 2], way: &str, evidence: &str) -> String {
    match kind {
        FindingKind::NotEnforced => {
            format!("{source} got through to {destination} {way}, which policies deny. Seen: {evidence}.")
        }
        FindingKind::OverBlocked => {
            format!(
                "{source} did not get through to {destination} {way}, which the policies allow. Seen: {evidence}."
            )
        }
    }
}

/// The text does not distinguish whether the enforcement or the policies have changed.
fn closed(kind: FindingKind, [source, destination]: &[String; 2], way: &str) -> String {
    match kind {
        FindingKind::NotEnforced => {
            format!("{source} no longer gets through to {destination} {way} against the policies.")
        }
        FindingKind::OverBlocked => {
            format!("{source} is no longer kept from {destination} {way} against the policies.")
        }
    }
}

fn endpoint(endpoint: &FindingEndpoint) -> String {
    match endpoint.kind {
        "pod" => endpoint.name.to_string(),
        kind => format!("{} ({kind})", endpoint.name),
    }
}

fn policies(finding: &Finding) -> String {
    let was = if finding.status == FindingStatus::Open { "It is" } else { "It was" };
    match finding.key.kind {
        FindingKind::NotEnforced => {
            let denials: Vec<String> = finding.denials.iter().map(format::denial).collect();
            format!("{was} denied: {}", denials.join("; "))
        }
        FindingKind::OverBlocked if finding.policies.is_empty() => {
            format!("{was} allowed, for no policy selects either side")
        }
        FindingKind::OverBlocked => format!("{was} allowed by {}", format::policies(&finding.policies)),
    }
}

/// Truncates a text to at most `most` bytes, between two characters.
fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most - CUT.len()));
        text.push_str(CUT);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_between_characters() {
        for (text, most, expected) in [
            ("deny", 4, "deny"),
            ("denied", 5, "de…"),
            ("denied", 3, "…"),
            // These characters have two or three bytes each.
            ("ééé", 6, "ééé"),
            ("ééé", 5, "é…"),
            ("éééé", 6, "é…"),
            ("€€€", 8, "€…"),
        ] {
            assert_eq!(cut(text.to_owned(), most), expected, "{text} {most}");
        }
    }
}
