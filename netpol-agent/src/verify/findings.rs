//! Findings and their life: opened by the first wrong connection, counted, resolved by one that went right.

use std::{net::IpAddr, sync::Arc, time::Duration};

use hashbrown::HashMap;

use super::evidence::sentence;
use crate::model::{
    Denial, Endpoint, Expected, Finding, FindingEndpoint, FindingKey, FindingKind, FindingStatus, Flow,
    Monotonic, Outcome, Pod, PolicyRef,
};

/// Findings kept at a time; a cluster without any enforcement has one for each pair of pods and port that talk.
const MOST_FINDINGS: usize = 10_000;

/// Without another wrong connection, how long a finding stays open.
const EXPIRES_AFTER: Duration = Duration::from_secs(3600);

/// What there is, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FindingStats {
    /// Wrong connections that no finding could be opened for, since there are too many.
    pub overflowed: u64,
}

/// All findings that are open.
#[derive(Debug, Default)]
pub struct Findings {
    open: HashMap<FindingKey, Finding>,
    stats: FindingStats,
}

impl Findings {
    /// Takes in a judged flow. Hands out a finding that it opens, or the ones that it resolves.
    pub fn flow(&mut self, flow: &Flow) -> Vec<Finding> {
        match flow.outcome {
            Outcome::NotEnforced => self.wrong(FindingKind::NotEnforced, flow),
            Outcome::OverBlocked => self.wrong(FindingKind::OverBlocked, flow),
            Outcome::Conforming | Outcome::Enforced => self.right(flow, &FindingKind::ALL),
            Outcome::PresumedEnforced
            | Outcome::Unanswered
            | Outcome::Undecidable
            | Outcome::NotApplicable => Vec::new(),
        }
    }

    /// Takes in a flow that was told before, and goes on. It keeps a finding open, and opens none: the policies may have
    /// changed since it began, and an enforcer may let go on what it had let begin.
    pub fn recheck(&mut self, flow: &Flow) -> Vec<Finding> {
        let kind = match flow.outcome {
            Outcome::NotEnforced => FindingKind::NotEnforced,
            Outcome::OverBlocked => FindingKind::OverBlocked,
            _ => return self.flow(flow),
        };
        if let Some(finding) = self.open.get_mut(&key(kind, flow)) {
            seen(finding, flow);
        }
        Vec::new()
    }

    /// The open findings of one kind.
    #[must_use]
    pub fn count(&self, kind: FindingKind) -> usize {
        self.open.keys().filter(|key| key.kind == kind).count()
    }

    /// The open findings, in a stable order.
    #[must_use]
    pub fn list(&self) -> Vec<&Finding> {
        let mut list: Vec<&Finding> = self.open.values().collect();
        list.sort_by(|a, b| a.key.cmp(&b.key));
        list
    }

    /// What has become of them.
    #[must_use]
    pub fn stats(&self) -> FindingStats {
        self.stats
    }

    /// Closes and hands out what has not been seen for long, in a stable order.
    pub fn expire(&mut self, now: Monotonic) -> Vec<Finding> {
        let expired = self.open.extract_if(|_, finding| now.since(finding.last_began) > EXPIRES_AFTER);
        let mut expired: Vec<Finding> =
            expired.map(|(_, finding)| Finding { status: FindingStatus::Expired, ..finding }).collect();
        expired.sort_by(|a, b| a.key.cmp(&b.key));
        expired
    }

    fn wrong(&mut self, kind: FindingKind, flow: &Flow) -> Vec<Finding> {
        let opposite = match kind {
            FindingKind::NotEnforced => FindingKind::OverBlocked,
            FindingKind::OverBlocked => FindingKind::NotEnforced,
        };
        let mut told = self.right(flow, &[opposite]);
        let key = key(kind, flow);
        if let Some(finding) = self.open.get_mut(&key) {
            again(finding, flow);
        } else if self.open.len() >= MOST_FINDINGS {
            self.stats.overflowed += 1;
        } else {
            let finding = new(key, flow);
            told.push(finding.clone());
            self.open.insert(finding.key.clone(), finding);
        }
        told
    }

    /// A connection went as it should: findings of these kinds about the like of it hold no more, unless it was made
    /// before the wrong one, and only decided later.
    fn right(&mut self, flow: &Flow, kinds: &[FindingKind]) -> Vec<Finding> {
        if self.open.is_empty() {
            return Vec::new();
        }
        kinds
            .iter()
            .filter_map(|kind| {
                let key = key(*kind, flow);
                let later =
                    self.open.get(&key).is_some_and(|finding| flow.attempt.began > finding.last_began);
                if later || flow.attempt.revised { self.open.remove(&key) } else { None }
            })
            .map(|finding| Finding { status: FindingStatus::Resolved, ..finding })
            .collect()
    }
}

fn key(kind: FindingKind, flow: &Flow) -> FindingKey {
    let tuple = &flow.attempt.tuple;
    FindingKey {
        kind,
        source: party(&flow.source, tuple.source.address),
        destination: party(&flow.destination, tuple.destination.address),
        ipv6: tuple.destination.address.is_ipv6(),
        protocol: tuple.protocol,
        port: if tuple.protocol.has_ports() { tuple.destination.port } else { 0 },
    }
}

fn party(endpoint: &Endpoint, address: IpAddr) -> FindingEndpoint {
    let name = endpoint.name().map_or_else(|| address.to_string().into(), Arc::clone);
    FindingEndpoint { kind: endpoint.kind(), name }
}

fn new(key: FindingKey, flow: &Flow) -> Finding {
    let (policies, denials) = concerned(&flow.expected);
    Finding {
        key,
        status: FindingStatus::Open,
        policies,
        denials,
        evidence: sentence(flow),
        observed: flow.attempt.observed,
        last: last(flow),
        pods: pods(flow),
        first_seen: flow.time,
        last_seen: flow.time,
        last_began: flow.attempt.began,
        count: 1,
    }
}

fn again(finding: &mut Finding, flow: &Flow) {
    finding.evidence = sentence(flow);
    finding.observed = flow.attempt.observed;
    finding.last = last(flow);
    finding.pods = pods(flow);
    seen(finding, flow);
    // An attempt that was judged wrong before, and is so again on better evidence, is still one attempt.
    if !flow.attempt.revised {
        finding.count += 1;
    }
    (finding.policies, finding.denials) = concerned(&flow.expected);
}

fn seen(finding: &mut Finding, flow: &Flow) {
    if flow.attempt.began > finding.last_began {
        (finding.last_seen, finding.last_began) = (flow.time, flow.attempt.began);
    }
}

fn last(flow: &Flow) -> [(IpAddr, u16); 2] {
    let tuple = &flow.attempt.tuple;
    [(tuple.source.address, tuple.source.port), (tuple.destination.address, tuple.destination.port)]
}

fn pods(flow: &Flow) -> [Option<Arc<Pod>>; 2] {
    [&flow.source, &flow.destination].map(|end| end.pod().cloned())
}

/// The policies that an expectation rests on, each once, and the denials among them.
fn concerned(expected: &Expected) -> (Vec<PolicyRef>, Vec<Denial>) {
    let (mut policies, denials): (Vec<PolicyRef>, _) = match expected {
        Expected::Denied { by } => {
            (by.iter().flat_map(|denial| denial.policies.clone()).collect(), by.clone())
        }
        Expected::Allowed { by } => (by.iter().map(|rule| rule.policy.clone()).collect(), Vec::new()),
        Expected::NotApplicable(_) | Expected::Undecidable(_) => (Vec::new(), Vec::new()),
    };
    policies.sort();
    policies.dedup();
    (policies, denials)
}
