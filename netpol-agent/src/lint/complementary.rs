//! Peers of one list that match everything together, since list items are ORed.

use super::{
    cluster::{DIRECTIONS, LintInput, peers_path},
    finding::{LintCode, LintFinding},
};
use crate::model::{
    LabelSelector, Values,
    network_policy::{IpBlock, Peer},
};

pub(super) fn findings(cluster: &LintInput<'_>) -> Vec<LintFinding> {
    let mut findings = Vec::new();
    for policy in &cluster.policies {
        for direction in DIRECTIONS {
            for (i, rule) in policy.rules(direction).unwrap_or_default().iter().enumerate() {
                let pairs = (0..rule.peers.len()).flat_map(|j| (0..j).map(move |earlier| (earlier, j)));
                let found = pairs
                    .filter_map(|(a, b)| Some((a, b, rule.peers.get(a)?, rule.peers.get(b)?)))
                    .find(|(_, _, a, b)| are_everything(a, b));
                let Some((a, b, ..)) = found else { continue };
                let reason = format!(
                    "items {a} and {b} of the list are ORed, and what one of them leaves out the other one admits"
                );
                let remedy = "write what must hold at once in one list item".to_owned();
                let path = format!("{}[{b}]", peers_path(direction, i));
                findings.push(cluster.finding(
                    LintCode::ComplementaryPeers,
                    &policy.id,
                    &path,
                    reason,
                    remedy,
                ));
            }
        }
    }
    findings
}

/// Whether two peers leave nothing of what each of them is about.
fn are_everything(a: &Peer, b: &Peer) -> bool {
    match (a, b) {
        (
            Peer::Pods { namespaces: a_namespaces, pods: a },
            Peer::Pods { namespaces: b_namespaces, pods: b },
        ) => {
            (a_namespaces == b_namespaces && are_complements(a, b))
                || (a == b
                    && a_namespaces
                        .as_ref()
                        .zip(b_namespaces.as_ref())
                        .is_some_and(|(a, b)| are_complements(a, b)))
        }
        (Peer::Block(a), Peer::Block(b)) => fills(a, b) || fills(b, a),
        _ => false,
    }
}

/// Whether any labels match one of two selectors, each of which asks for one thing of the same label.
fn are_complements(a: &LabelSelector, b: &LabelSelector) -> bool {
    let ([a], [b]) = (a.requirements(), b.requirements()) else { return false };
    a.key == b.key
        && match (&a.values, &b.values) {
            (Values::NotIn(a), Values::NotIn(b)) => !a.iter().any(|value| b.contains(value)),
            (Values::NotIn(all), Values::In(own)) | (Values::In(own), Values::NotIn(all)) => {
                all.iter().all(|value| own.contains(value))
            }
            (Values::NotIn(_) | Values::DoesNotExist, Values::Exists)
            | (Values::Exists, Values::NotIn(_) | Values::DoesNotExist) => true,
            _ => false,
        }
}

/// Whether one range has holes, and another one that is about as much has none of them.
fn fills(holed: &IpBlock, other: &IpBlock) -> bool {
    !holed.except.is_empty()
        && other.cidr.contains(&holed.cidr)
        && holed
            .except
            .iter()
            .all(|hole| !other.except.iter().any(|kept| kept.contains(hole) || hole.contains(kept)))
}
