//! Findings. The first wrong connection opens a finding, further ones are counted, and a later correct one resolves it.

use std::{net::IpAddr, sync::Arc, time::Duration};

use hashbrown::HashMap;

use super::evidence::sentence;
use crate::model::{
    Denial, Endpoint, Expected, Finding, FindingEndpoint, FindingKey, FindingKind, FindingStatus, Flow,
    Monotonic, Outcome, Pod, PolicyRef,
};

/// The maximum number of open findings. A cluster without any enforcement has one for each pair of pods and port that
/// communicate.
const MAX_FINDINGS: usize = 10_000;

/// How long a finding stays open without another wrong connection.
const EXPIRES_AFTER: Duration = Duration::from_secs(3600);

/// Statistics of the findings, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FindingStats {
    /// Wrong connections for which no finding could be opened, because too many were open.
    pub overflowed: u64,
}

/// All open findings.
#[derive(Debug, Default)]
pub struct Findings {
    open: HashMap<FindingKey, Finding>,
    stats: FindingStats,
}

impl Findings {
    /// Processes a flow. Returns the findings that it opens or resolves.
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

    /// Processes the recheck of a flow that was reported before and is still active. It keeps a finding open, but opens
    /// none: the policies may have changed since the connection began, and an enforcer may let an open connection
    /// continue.
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

    /// Returns the number of open findings of one kind.
    #[must_use]
    pub fn count(&self, kind: FindingKind) -> usize {
        self.open.keys().filter(|key| key.kind == kind).count()
    }

    /// Returns the open findings, in a stable order.
    #[must_use]
    pub fn list(&self) -> Vec<&Finding> {
        let mut list: Vec<&Finding> = self.open.values().collect();
        list.sort_by(|a, b| a.key.cmp(&b.key));
        list
    }

    /// Returns the statistics.
    #[must_use]
    pub fn stats(&self) -> FindingStats {
        self.stats
    }

    /// Closes and returns the findings that have not been seen for a long time, in a stable order.
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
        let mut changed = self.right(flow, &[opposite]);
        let key = key(kind, flow);
        if let Some(finding) = self.open.get_mut(&key) {
            update(finding, flow);
        } else if self.open.len() >= MAX_FINDINGS {
            self.stats.overflowed += 1;
        } else {
            let finding = new(key, flow);
            changed.push(finding.clone());
            self.open.insert(finding.key.clone(), finding);
        }
        changed
    }

    /// Resolves the findings of these kinds, because a similar connection had the expected result. A connection that
    /// began before the wrong one, and was only decided later, does not resolve it.
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
        source: endpoint_key(&flow.source, tuple.source.address),
        destination: endpoint_key(&flow.destination, tuple.destination.address),
        ipv6: tuple.destination.address.is_ipv6(),
        protocol: tuple.protocol,
        port: if tuple.protocol.has_ports() { tuple.destination.port } else { 0 },
    }
}

fn endpoint_key(endpoint: &Endpoint, address: IpAddr) -> FindingEndpoint {
    let name = endpoint.name().map_or_else(|| address.to_string().into(), Arc::clone);
    FindingEndpoint { kind: endpoint.kind(), name }
}

fn new(key: FindingKey, flow: &Flow) -> Finding {
    let (policies, denials) = policies_and_denials(&flow.expected);
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

fn update(finding: &mut Finding, flow: &Flow) {
    finding.evidence = sentence(flow);
    finding.observed = flow.attempt.observed;
    finding.last = last(flow);
    finding.pods = pods(flow);
    seen(finding, flow);
    // An attempt that was judged wrong before, and is judged wrong again on better evidence, counts once.
    if !flow.attempt.revised {
        finding.count += 1;
    }
    (finding.policies, finding.denials) = policies_and_denials(&flow.expected);
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

/// Returns the policies that the expected result depends on, without duplicates, and the denials.
fn policies_and_denials(expected: &Expected) -> (Vec<PolicyRef>, Vec<Denial>) {
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
