//! `netpol explain`: one connection, step by step.

use std::{fmt::Write as _, process::ExitCode};

use anyhow::Result;
use clap::{Args, ValueEnum};
use netpol_agent::{
    check::ExpectedAnswer,
    declared::{CaseAnswer, ConnectionQuestion, EndpointName, PortAnswer},
    explain::{ExplainedCase, Explanation, explain},
    model::{PolicyDirection, Protocol},
};

use crate::{
    input::Source,
    print::print,
    style::{bad, good, strong, unsure, wrapped},
};

/// Explain, step by step, whether a connection is allowed, with the file and line of each rule that matters.
///
/// An ENDPOINT is a pod (NAMESPACE/NAME), a workload (deploy/NAME, sts, ds, job, cronjob …), a Service (svc/NAME), a node
/// (node/NAME), any pod with these labels (label:KEY=VALUE,ns=NAMESPACE), an IP address, a CIDR, or `world` for public
/// addresses. A connection to a Service, by name or address, is a connection to its pods. If an endpoint stands for
/// several pods or addresses, all of them are evaluated.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    source: Source,
    /// The namespace of endpoints without one.
    #[arg(long, short)]
    namespace: Option<String>,
    /// The source: the endpoint that opens the connection.
    #[arg(long, value_name = "ENDPOINT")]
    from: EndpointName,
    /// The destination.
    #[arg(long, value_name = "ENDPOINT")]
    to: EndpointName,
    /// The destination port: of the Service if the destination is one, otherwise of the pod. Default: all ports.
    #[arg(long, short)]
    port: Option<u16>,
    /// TCP, UDP, SCTP, ICMP, ICMPv6 or an IP protocol number [default: TCP; without a port TCP, UDP and SCTP]
    #[arg(long)]
    protocol: Option<Protocol>,
    /// The client connects to a Service's address, a node port or a load balancer.
    #[arg(long)]
    via_service: bool,
    /// Exit with status 1 if the answer is a different one.
    #[arg(long, value_name = "ANSWER")]
    expect: Option<Expect>,
    /// The output format.
    #[arg(long, short, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Expect {
    Allow,
    Deny,
    Undefined,
}

impl From<Expect> for ExpectedAnswer {
    fn from(expect: Expect) -> Self {
        match expect {
            Expect::Allow => Self::Allow,
            Expect::Deny => Self::Deny,
            Expect::Undefined => Self::Undefined,
        }
    }
}

impl Explain {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let Self { source, namespace, from, to, port, protocol, via_service, expect, output } = self;
        let state = source.load_and_report()?;
        let namespace = namespace.as_deref();
        let (from, to) = (from.in_namespace(namespace), to.in_namespace(namespace));
        let question = ConnectionQuestion { from, to, protocol, port, via_service };
        let explanation = explain(&state, &question)?;
        print(&match output {
            Output::Json => serde_json::to_string_pretty(&explanation)? + "\n",
            Output::Text => text(&explanation),
        })?;
        let is_met = expect.is_none_or(|expect| ExpectedAnswer::from(expect).is_met(&explanation.answer));
        Ok(ExitCode::from(u8::from(!is_met)))
    }
}

/// So many connections of a question are listed.
const SHOWN: usize = 20;

/// The connections that the question stands for. Where all come to the same, some names are enough; where they do not, those
/// of which there are fewer.
fn connections(all: &[CaseAnswer]) -> String {
    const FEW: usize = 5;
    let outcome = |case: &CaseAnswer| (case.allowed, case.defined);
    let word = |(allowed, defined): (bool, bool)| {
        let word = if allowed { good("allowed") } else { bad("denied") };
        if defined { word } else { word + &unsure(", but up to the implementation") }
    };
    let count = |of: (bool, bool)| all.iter().filter(|case| outcome(case) == of).count();
    let commonest = all.iter().map(outcome).max_by_key(|of| count(*of));
    let Some(commonest) = commonest else { return String::new() };
    let is_same = count(commonest) == all.len();
    let is_short = all.len() <= SHOWN && (!is_same || all.len() <= FEW);
    let mut text = String::new();
    for case in all.iter().filter(|case| is_short || outcome(case) != commonest).take(SHOWN) {
        let _ = writeln!(text, "  {} -> {}: {}", case.from, case.to, word(outcome(case)));
    }
    if !is_short {
        let others = if is_same { "all" } else { "all others" };
        let _ = writeln!(text, "  {others} ({}): {}", count(commonest), word(commonest));
    }
    text
}

fn port_range(ports: &PortAnswer) -> String {
    let PortAnswer { protocol, first, last, defined } = ports;
    let unsure = if *defined { "" } else { " (up to the implementation)" };
    match (first, last) {
        (first, last) if first == last => format!("{protocol} {first}{unsure}"),
        (1, 65535) => format!("{protocol} all{unsure}"),
        (first, last) => format!("{protocol} {first}-{last}{unsure}"),
    }
}

fn text(explanation: &Explanation) -> String {
    let Explanation { from, to, protocol, port, answer, explained, .. } = explanation;
    let outcome = if answer.allowed { good("allowed") } else { bad("denied") };
    let sure = if answer.defined { String::new() } else { unsure(", but up to the implementation") };
    let port = port.map_or_else(|| "any port".to_owned(), |port| format!("{protocol} {port}"));
    let mut text = format!("{from} -> {to} {port}: {outcome}{sure}\n");
    if !answer.ports.is_empty() {
        let ports = answer.ports.iter().map(port_range).collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "allowed ports: {}", wrapped(&ports, 15));
    }
    text.push_str(&connections(&answer.connections));
    if let Some(ExplainedCase { from, to, port, .. }) = explained {
        let _ = writeln!(text, "\nfor {from} -> {to} {protocol} {port}:");
    }
    let directions = [(PolicyDirection::Egress, &answer.egress), (PolicyDirection::Ingress, &answer.ingress)];
    for (direction, verdict) in directions {
        let word = if verdict.verdict == "allow" { good("allowed") } else { bad("denied") };
        let of = verdict.subject.as_deref().unwrap_or("(no pod)");
        let _ = write!(text, "\n{} of {of}: {word}\n", strong(direction));
        for step in explanation.steps.iter().filter(|step| step.direction == direction) {
            let _ = writeln!(text, "  - {}", wrapped(&step.text, 4));
            if let Some(path) = &step.path {
                let place = step.place.as_ref().map(|place| format!(", {place}")).unwrap_or_default();
                let _ = writeln!(text, "    {path}{place}");
            }
            for reason in &step.reasons {
                let _ = writeln!(text, "    {}", wrapped(reason, 6));
            }
        }
    }
    if !answer.notes.is_empty() {
        text.push('\n');
    }
    for note in &answer.notes {
        let _ = writeln!(text, "note: {}", wrapped(note, 6));
    }
    text
}
