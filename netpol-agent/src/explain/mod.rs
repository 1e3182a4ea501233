//! One connection, step by step.

mod why;

use serde::Serialize;

use self::why::Refused;
use crate::{
    declared::{Answer, ConnectionQuestion, DeclaredState, UnknownEndpoint, judge},
    model::{FieldPath, PolicyDirection, PolicyRef, Protocol},
    policy::{CompiledTierRule, DecidedBy, DirectionVerdict, Mismatch},
};

/// Whether one connection is allowed, and why.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// Who opens it.
    pub from: String,
    /// Who answers.
    pub to: String,
    /// The protocol.
    pub protocol: Protocol,
    /// The destination's port; all of them where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Whether it is made to a Service's address.
    pub via_service: bool,
    /// The verdict.
    #[serde(flatten)]
    pub answer: Answer,
    /// What leads to it, egress first.
    pub steps: Vec<ExplainStep>,
    /// Which connection the steps are about, where the question stands for several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explained: Option<ExplainedCase>,
}

/// One of the connections that a question stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedCase {
    /// Who opens it.
    pub from: String,
    /// Who answers.
    pub to: String,
    /// The port of who answers.
    pub port: u16,
    /// Whether it is allowed.
    pub allowed: bool,
}

/// One step of the explanation.
#[derive(Debug, Serialize)]
pub struct ExplainStep {
    /// The direction that it belongs to.
    pub direction: PolicyDirection,
    /// A sentence.
    pub text: String,
    /// The policy that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyRef>,
    /// The field of that policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<FieldPath>,
    /// File and line of that field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Why a rule does not admit the connection.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// Explains whether a connection is allowed.
///
/// # Errors
///
/// One of its ends is unknown.
pub fn explain(state: &DeclaredState, question: &ConnectionQuestion) -> Result<Explanation, UnknownEndpoint> {
    let ConnectionQuestion { from, to, protocol, port, via_service } = question;
    judge(state, question, |cases| {
        let (answer, at) = Answer::of(cases);
        let case = cases.cases.get(at);
        let directions = case.map(|case| case.verdict.directions()).into_iter().flatten();
        let refused = case.map(|case| Refused {
            snapshot: cases.snapshot,
            from: case.from.peer,
            to: case.to.peer,
            protocol: case.protocol,
            port: case.port,
        });
        let of_several = !answer.connections.is_empty() || port.is_none();
        let explained = case.filter(|_| of_several).map(|case| ExplainedCase {
            from: case.from.name.clone(),
            to: case.to.name.clone(),
            port: case.port,
            allowed: case.allowed(),
        });
        Explanation {
            from: from.to_string(),
            to: to.to_string(),
            protocol: protocol.or(case.map(|case| case.protocol)).unwrap_or(Protocol::Tcp),
            port: *port,
            via_service: *via_service,
            steps: directions.flat_map(|verdict| steps(state, verdict, refused.as_ref())).collect(),
            answer,
            explained,
        }
    })
}

/// What happened in one direction, in order.
fn steps(
    state: &DeclaredState,
    verdict: &DirectionVerdict<'_>,
    refused: Option<&Refused<'_>>,
) -> Vec<ExplainStep> {
    let direction = verdict.direction;
    let says = |text: &str| ExplainStep {
        direction,
        text: text.to_owned(),
        policy: None,
        path: None,
        place: None,
        reasons: Vec::new(),
    };
    let mut steps = Vec::new();
    if let Some(rule) = verdict.passed_by {
        steps.push(of_tier_rule(state, rule, "a rule of the Admin tier passes the decision on"));
    }
    match verdict.decided_by {
        DecidedBy::NoSubject => steps.push(says("this side is no pod, so that no policy speaks of it")),
        DecidedBy::HostNetwork => steps.push(says("a pod in its node's network is selected by no policy")),
        DecidedBy::SelfTraffic => steps.push(says("a pod may always reach itself")),
        DecidedBy::LocalNode => steps.push(says("a pod's own node may always reach it (kubelet probes)")),
        DecidedBy::Default => steps.push(says("no policy decides, and what no policy decides is allowed")),
        DecidedBy::Admin | DecidedBy::Baseline => {
            if let Some(rule) = verdict.tier_rule {
                let text = format!("a rule of the {} tier decides: {}", verdict.decided_by, rule.action);
                steps.push(of_tier_rule(state, rule, &text));
            }
        }
        DecidedBy::NetworkPolicy => steps.extend(of_network_policies(state, verdict, refused)),
    }
    steps
}

fn of_tier_rule(state: &DeclaredState, rule: &CompiledTierRule, text: &str) -> ExplainStep {
    let path = FieldPath::parse(&format!("spec.{}[{}]", rule.direction, rule.index));
    let policy = &rule.policy.id;
    ExplainStep {
        direction: rule.direction,
        text: text.to_owned(),
        place: state.place(policy, &path),
        policy: Some(policy.clone()),
        path: Some(path),
        reasons: Vec::new(),
    }
}

fn of_network_policies(
    state: &DeclaredState,
    verdict: &DirectionVerdict<'_>,
    refused: Option<&Refused<'_>>,
) -> Vec<ExplainStep> {
    let direction = verdict.direction;
    let step = |text: String, policy: &PolicyRef, path: &str| {
        let path = FieldPath::parse(path);
        let place = state.place(policy, &path);
        ExplainStep {
            direction,
            text,
            place,
            policy: Some(policy.clone()),
            path: Some(path),
            reasons: Vec::new(),
        }
    };
    let isolating = verdict.isolating().iter();
    let mut steps: Vec<ExplainStep> = isolating
        .map(|policy| step(format!("{} isolates the pod", policy.id), &policy.id, "spec.podSelector"))
        .collect();
    let admits = verdict.allowing().map(|rule| {
        let text = format!("rule {} of {} admits the connection", rule.index, rule.policy.id);
        step(text, &rule.policy.id, &format!("spec.{direction}[{}]", rule.index))
    });
    steps.extend(admits);
    if verdict.allowed {
        return steps;
    }
    let mut rejecting = verdict.rejecting().peekable();
    let none = rejecting.peek().is_none();
    steps.extend(rejecting.map(|(rule, why)| {
        let peers = if direction == PolicyDirection::Ingress { "from" } else { "to" };
        let (text, field) = match why {
            Mismatch::Peer => ("other peers", peers),
            Mismatch::Port => ("other ports", "ports"),
            Mismatch::Both => ("other peers and other ports", peers),
        };
        let text = format!("rule {} of {} is for {text}", rule.index, rule.policy.id);
        let step = step(text, &rule.policy.id, &format!("spec.{direction}[{}].{field}", rule.index));
        ExplainStep { reasons: refused.map(|it| it.reasons(rule, why)).unwrap_or_default(), ..step }
    }));
    let why = if none { "none of them has a rule" } else { "no rule admits the connection" };
    steps.push(ExplainStep {
        direction,
        text: format!("default deny: it is isolated, and {why}"),
        policy: None,
        path: None,
        place: None,
        reasons: Vec::new(),
    });
    steps
}
