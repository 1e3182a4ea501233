//! A verdict as JSON.

use netpol_agent::{
    model::cluster_policy::Action,
    policy::{DecidedBy, DirectionVerdict, Verdict},
};
use serde::Serialize;

/// A verdict as JSON: the shape that `check` and `explain` share.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    pub(crate) allowed: bool,
    pub(crate) defined: bool,
    pub(crate) egress: Direction,
    pub(crate) ingress: Direction,
    pub(crate) notes: Vec<&'static str>,
}

/// One direction of it.
#[derive(Debug, Serialize)]
pub(crate) struct Direction {
    verdict: &'static str,
    subject: Option<String>,
    decided_by: DecidedBy,
    isolating: Vec<String>,
    allowing: Vec<(String, u32)>,
    tier_rule: Option<(String, u32, Action)>,
    passed_by: Option<(String, u32)>,
}

impl Answer {
    pub(crate) fn new(verdict: &Verdict<'_>) -> Self {
        Self {
            allowed: verdict.allowed(),
            defined: verdict.defined(),
            egress: Direction::new(&verdict.egress),
            ingress: Direction::new(&verdict.ingress),
            notes: verdict.caveats().iter().map(|note| note.text()).collect(),
        }
    }
}

impl Direction {
    fn new(judgement: &DirectionVerdict<'_>) -> Self {
        Self {
            verdict: if judgement.allowed { "allow" } else { "deny" },
            subject: judgement.subject.map(|pod| pod.key.to_string()),
            decided_by: judgement.decided_by,
            isolating: judgement.isolating().iter().map(|policy| policy.id.to_string()).collect(),
            allowing: judgement.allowing().map(|rule| (rule.policy.id.to_string(), rule.index)).collect(),
            tier_rule: judgement.tier_rule.map(|rule| (rule.policy.id.to_string(), rule.index, rule.action)),
            passed_by: judgement.passed_by.map(|rule| (rule.policy.id.to_string(), rule.index)),
        }
    }
}
