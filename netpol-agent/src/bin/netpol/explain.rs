//! `netpol explain`: one connection, step by step.

use std::{fmt::Write as _, process::ExitCode};

use anyhow::Result;
use clap::{Args, ValueEnum};
use netpol_agent::{
    model::{FieldPath, PolicyDirection, PolicyRef, Protocol},
    policy::{CompiledTierRule, DecidedBy, DirectionVerdict, Mismatch, Query, Verdict},
};
use serde::Serialize;

use crate::{
    answer::Answer,
    input::{End, Source, State},
    style::{Style, wrapped},
};

/// Explain, step by step, whether one connection is allowed, with the place of each rule that matters.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    source: Source,
    /// Who opens the connection: NAMESPACE/POD or an IP address.
    #[arg(long, value_name = "END")]
    from: End,
    /// Who answers: NAMESPACE/POD or an IP address.
    #[arg(long, value_name = "END")]
    to: End,
    /// The destination's port (the pod's own, not its Service's).
    #[arg(long, short)]
    port: u16,
    /// TCP, UDP, SCTP, ICMP, ICMPv6 or an IP protocol number.
    #[arg(long, default_value = "TCP")]
    protocol: Protocol,
    /// The connection is made to a Service's address, or comes through a load balancer.
    #[arg(long)]
    via_service: bool,
    /// How to print it.
    #[arg(long, short, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// One step of the explanation.
#[derive(Debug, Serialize)]
struct Step {
    direction: PolicyDirection,
    text: String,
    /// The policy that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<PolicyRef>,
    /// The field of that policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<FieldPath>,
    /// File and line of that field.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
}

#[derive(Debug, Serialize)]
struct Explanation {
    from: String,
    to: String,
    protocol: Protocol,
    port: u16,
    via_service: bool,
    #[serde(flatten)]
    answer: Answer,
    steps: Vec<Step>,
}

impl Explain {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let Self { source, from, to, port, protocol, via_service, output } = self;
        let state = source.load_and_report()?;
        let destination = to.find(state.snapshot())?;
        let addresses = via_service.then(|| state.engine.service_addresses(destination));
        let query = Query {
            source: from.find(state.snapshot())?,
            destination,
            protocol,
            port,
            via_service: addresses.as_deref(),
        };
        let verdict = state.engine.evaluate(&query);
        let steps = verdict.directions().into_iter().flat_map(|judgement| steps(&state, judgement)).collect();
        let explanation = Explanation {
            from: name(&from),
            to: name(&to),
            protocol,
            port,
            via_service,
            answer: Answer::new(&verdict),
            steps,
        };
        match output {
            Output::Json => println!("{}", serde_json::to_string_pretty(&explanation)?),
            Output::Text => print!("{}", text(&explanation, &verdict)),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn name(end: &End) -> String {
    match end {
        End::Pod(key) => key.clone(),
        End::Ip(ip) => ip.to_string(),
    }
}

fn text(explanation: &Explanation, verdict: &Verdict<'_>) -> String {
    let style = Style::of_stdout();
    let Explanation { from, to, protocol, port, .. } = explanation;
    let outcome = if verdict.allowed() { style.good("allowed") } else { style.bad("denied") };
    let sure = if verdict.defined() { String::new() } else { style.unsure(", but up to the implementation") };
    let mut text = format!("{from} -> {to} {protocol} {port}: {outcome}{sure}\n");
    for judgement in verdict.directions() {
        let word = if judgement.allowed { style.good("allowed") } else { style.bad("denied") };
        let of = judgement.subject.map_or_else(|| "(no pod)".to_owned(), |pod| pod.key.to_string());
        let _ = write!(text, "\n{} of {of}: {word}\n", style.strong(judgement.direction));
        for step in explanation.steps.iter().filter(|step| step.direction == judgement.direction) {
            let _ = writeln!(text, "  - {}", wrapped(&step.text, 4));
            if let Some(path) = &step.path {
                let place = step.place.as_ref().map(|place| format!(", {place}")).unwrap_or_default();
                let _ = writeln!(text, "    {path}{place}");
            }
        }
    }
    if !explanation.answer.notes.is_empty() {
        text.push('\n');
    }
    for note in &explanation.answer.notes {
        let _ = writeln!(text, "note: {}", wrapped(note, 6));
    }
    text
}

/// What happened in one direction, in order.
fn steps(state: &State, judgement: &DirectionVerdict<'_>) -> Vec<Step> {
    let direction = judgement.direction;
    let says = |text: &str| Step { direction, text: text.to_owned(), policy: None, path: None, place: None };
    let mut steps = Vec::new();
    if let Some(rule) = judgement.passed_by {
        steps.push(of_tier_rule(state, rule, "a rule of the Admin tier passes the decision on"));
    }
    match judgement.decided_by {
        DecidedBy::NoSubject => steps.push(says("this side is no pod, so that no policy speaks of it")),
        DecidedBy::HostNetwork => steps.push(says("a pod in its node's network is selected by no policy")),
        DecidedBy::SelfTraffic => steps.push(says("a pod may always reach itself")),
        DecidedBy::LocalNode => steps.push(says("a pod's own node may always reach it (kubelet probes)")),
        DecidedBy::Default => steps.push(says("no policy decides, and what no policy decides is allowed")),
        DecidedBy::Admin | DecidedBy::Baseline => {
            if let Some(rule) = judgement.tier_rule {
                let text = format!("a rule of the {} tier decides: {}", judgement.decided_by, rule.action);
                steps.push(of_tier_rule(state, rule, &text));
            }
        }
        DecidedBy::NetworkPolicy => steps.extend(of_network_policies(state, judgement)),
    }
    steps
}

fn of_tier_rule(state: &State, rule: &CompiledTierRule, text: &str) -> Step {
    let path = FieldPath::parse(&format!("spec.{}[{}]", rule.direction, rule.index));
    let policy = &rule.policy.id;
    Step {
        direction: rule.direction,
        text: text.to_owned(),
        place: state.place(policy, &path),
        policy: Some(policy.clone()),
        path: Some(path),
    }
}

fn of_network_policies(state: &State, judgement: &DirectionVerdict<'_>) -> Vec<Step> {
    let direction = judgement.direction;
    let step = |text: String, policy: &PolicyRef, path: &str| {
        let path = FieldPath::parse(path);
        let place = state.place(policy, &path);
        Step { direction, text, place, policy: Some(policy.clone()), path: Some(path) }
    };
    let isolating = judgement.isolating().iter();
    let mut steps: Vec<Step> = isolating
        .map(|policy| step(format!("{} isolates the pod", policy.id), &policy.id, "spec.podSelector"))
        .collect();
    let admits = judgement.allowing().map(|rule| {
        let text = format!("rule {} of {} admits the connection", rule.index, rule.policy.id);
        step(text, &rule.policy.id, &format!("spec.{direction}[{}]", rule.index))
    });
    steps.extend(admits);
    if judgement.allowed {
        return steps;
    }
    let mut rejecting = judgement.rejecting().peekable();
    let none = rejecting.peek().is_none();
    steps.extend(rejecting.map(|(rule, why)| {
        let peers = if direction == PolicyDirection::Ingress { "from" } else { "to" };
        let (text, field) = match why {
            Mismatch::Peer => ("other peers", peers),
            Mismatch::Port => ("other ports", "ports"),
            Mismatch::Both => ("other peers and other ports", peers),
        };
        let text = format!("rule {} of {} is for {text}", rule.index, rule.policy.id);
        step(text, &rule.policy.id, &format!("spec.{direction}[{}].{field}", rule.index))
    }));
    let why = if none { "none of them has a rule" } else { "no rule admits the connection" };
    steps.push(Step {
        direction,
        text: format!("default deny: it is isolated, and {why}"),
        policy: None,
        path: None,
        place: None,
    });
    steps
}
