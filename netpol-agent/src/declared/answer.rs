//! A verdict as JSON.

use serde::Serialize;

use crate::{
    model::cluster_policy::Action,
    policy::{DecidedBy, DirectionVerdict, Verdict},
};

/// A verdict as JSON: the shape that `check` and `explain` share.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// Whether both directions allow it.
    pub allowed: bool,
    /// Whether the API defines the outcome; else it is what most implementations do.
    pub defined: bool,
    /// What the source may reach.
    pub egress: DirectionAnswer,
    /// What may reach the destination.
    pub ingress: DirectionAnswer,
    /// What there is to say beyond that.
    pub notes: Vec<&'static str>,
}

/// One direction of it.
#[derive(Debug, Serialize)]
pub struct DirectionAnswer {
    /// `allow` or `deny`.
    pub verdict: &'static str,
    /// The pod whose policies these are, `namespace/name`; `None` where that side is no pod.
    pub subject: Option<String>,
    /// What decides.
    pub decided_by: DecidedBy,
    /// The NetworkPolicies that isolate the pod.
    pub isolating: Vec<String>,
    /// The rules that admit the connection: policy, and index of the rule from 0.
    pub allowing: Vec<(String, u32)>,
    /// The rule of a cluster-wide policy that decides.
    pub tier_rule: Option<(String, u32, Action)>,
    /// The rule of the Admin tier that passes the decision on.
    pub passed_by: Option<(String, u32)>,
}

impl Answer {
    /// The answer that a verdict is.
    #[must_use]
    pub fn new(verdict: &Verdict<'_>) -> Self {
        Self {
            allowed: verdict.allowed(),
            defined: verdict.defined(),
            egress: DirectionAnswer::new(&verdict.egress),
            ingress: DirectionAnswer::new(&verdict.ingress),
            notes: verdict.caveats().iter().map(|caveat| caveat.text()).collect(),
        }
    }
}

impl DirectionAnswer {
    fn new(verdict: &DirectionVerdict<'_>) -> Self {
        Self {
            verdict: if verdict.allowed { "allow" } else { "deny" },
            subject: verdict.subject.map(|pod| pod.key.to_string()),
            decided_by: verdict.decided_by,
            isolating: verdict.isolating().iter().map(|policy| policy.id.to_string()).collect(),
            allowing: verdict.allowing().map(|rule| (rule.policy.id.to_string(), rule.index)).collect(),
            tier_rule: verdict.tier_rule.map(|rule| (rule.policy.id.to_string(), rule.index, rule.action)),
            passed_by: verdict.passed_by.map(|rule| (rule.policy.id.to_string(), rule.index)),
        }
    }
}
