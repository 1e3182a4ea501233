//! `netpol explain`: one connection, step by step.

use std::{fmt::Write as _, process::ExitCode};

use anstream::{print, println};
use anyhow::Result;
use clap::{Args, ValueEnum};
use netpol_agent::{
    declared::EndpointName,
    explain::{ConnectionQuestion, Explanation, explain},
    model::{PolicyDirection, Protocol},
};

use crate::{
    input::Source,
    style::{bad, good, strong, unsure, wrapped},
};

/// Explain, step by step, whether one connection is allowed, with the place of each rule that matters.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    source: Source,
    /// Who opens the connection: NAMESPACE/POD or an IP address.
    #[arg(long, value_name = "END")]
    from: EndpointName,
    /// Who answers: NAMESPACE/POD or an IP address.
    #[arg(long, value_name = "END")]
    to: EndpointName,
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

impl Explain {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let Self { source, from, to, port, protocol, via_service, output } = self;
        let state = source.load_and_report()?;
        let question = ConnectionQuestion { from, to, protocol, port, via_service };
        let explanation = explain(&state, &question)?;
        match output {
            Output::Json => println!("{}", serde_json::to_string_pretty(&explanation)?),
            Output::Text => print!("{}", text(&explanation)),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn text(explanation: &Explanation) -> String {
    let Explanation { from, to, protocol, port, answer, .. } = explanation;
    let outcome = if answer.allowed { good("allowed") } else { bad("denied") };
    let sure = if answer.defined { String::new() } else { unsure(", but up to the implementation") };
    let mut text = format!("{from} -> {to} {protocol} {port}: {outcome}{sure}\n");
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
