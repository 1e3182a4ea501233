//! `netpol check`: many queries at once, and unit tests for policies.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use netpol_agent::{model::Protocol, policy::Query};
use serde::{Deserialize, Serialize};

use crate::{
    answer::Answer,
    input::{End, Source, State},
    style::Style,
};

/// Answer many queries at once, one result line each, in the order of the queries.
///
/// A query is a JSON object in one line: {"id": 1, "src": {"pod": "shop/web"}, "dst": {"ip": "8.8.8.8"}, "protocol":
/// "TCP", "port": 443, "via_service": false}; protocol, port and via_service may be left out. With --expect a query
/// may carry "expect": "allow" or "deny". The exit status is 1 where a query can't be answered or is answered
/// otherwise than expected, and 2 where nothing can be answered.
#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    source: Source,
    /// The queries, one JSON object a line; `-` for standard input.
    #[arg(long, short, value_name = "FILE")]
    queries: PathBuf,
    /// Hold each answer against the query's own "expect", and list those that differ.
    #[arg(long)]
    expect: bool,
    /// How to print results.
    #[arg(long, short, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

#[derive(Debug, Deserialize)]
struct Line {
    #[serde(default)]
    id: serde_json::Value,
    src: Name,
    dst: Name,
    #[serde(default)]
    protocol: Option<String>,
    #[serde(default)]
    port: u16,
    #[serde(default)]
    via_service: bool,
    #[serde(default)]
    expect: Option<Expected>,
}

/// An end of a connection.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Name {
    Pod(String),
    Ip(std::net::IpAddr),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expected {
    Allow,
    Deny,
}

#[derive(Debug, Serialize)]
struct Outcome<'a> {
    id: &'a serde_json::Value,
    #[serde(flatten)]
    answer: Answer,
}

#[derive(Debug, Serialize)]
struct Failure<'a> {
    id: &'a serde_json::Value,
    error: String,
}

/// What has been counted on the way.
#[derive(Debug, Default)]
struct Tally {
    answered: usize,
    failed: usize,
    expected: usize,
    mismatches: Vec<String>,
}

impl Check {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let Self { source, queries, expect, output } = &self;
        let state = source.load_and_report()?;
        let mut out = BufWriter::new(io::stdout().lock());
        let mut tally = Tally::default();
        for (number, line) in (1_usize..).zip(open(queries)?.lines()) {
            let line = line.with_context(|| format!("can't read queries from {}", queries.display()))?;
            if !line.trim().is_empty() {
                let place = format!("{}:{number}", queries.display());
                answer(&state, &line, &place, *output, &mut tally, &mut out)?;
            }
        }
        out.flush()?;
        drop(out);
        if *expect {
            report(&tally);
        }
        let untrusted = *expect && !state.manifests.errors.is_empty();
        let differs = *expect && !tally.mismatches.is_empty();
        Ok(ExitCode::from(u8::from(tally.failed > 0 || differs || untrusted)))
    }
}

fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path).with_context(|| format!("can't read queries from {}", path.display()))?;
    Ok(Box::new(BufReader::new(file)))
}

fn answer(
    state: &State,
    line: &str,
    place: &str,
    output: Output,
    tally: &mut Tally,
    out: &mut impl Write,
) -> Result<()> {
    let fail =
        |id: &serde_json::Value, error: String, tally: &mut Tally, out: &mut dyn Write| -> Result<()> {
            tally.failed += 1;
            match output {
                Output::Json => writeln!(out, "{}", serde_json::to_string(&Failure { id, error })?)?,
                Output::Text => writeln!(out, "{place}: error: {error}")?,
            }
            Ok(())
        };
    let query: Line = match serde_json::from_str(line) {
        Ok(query) => query,
        Err(error) => {
            let id = serde_json::from_str::<serde_json::Value>(line).ok().and_then(|v| v.get("id").cloned());
            return fail(&id.unwrap_or_default(), format!("{place}: not a query: {error}"), tally, out);
        }
    };
    let outcome = match judge(state, &query) {
        Ok(answer) => Outcome { id: &query.id, answer },
        Err(error) => return fail(&query.id, format!("{error:#}"), tally, out),
    };
    tally.answered += 1;
    if let Some(expected) = query.expect {
        tally.expected += 1;
        if outcome.answer.allowed != (expected == Expected::Allow) {
            let got = word(outcome.answer.allowed);
            tally
                .mismatches
                .push(format!("{place}: id {}: expected {expected:?}, got {got}", query.id).to_lowercase());
        }
    }
    match output {
        Output::Json => writeln!(out, "{}", serde_json::to_string(&outcome)?)?,
        Output::Text => text(&query, &outcome.answer, out)?,
    }
    Ok(())
}

fn judge(state: &State, query: &Line) -> Result<Answer> {
    let end = |name: &Name| match name {
        Name::Pod(key) => End::Pod(key.clone()).find(state.snapshot()),
        Name::Ip(ip) => End::Ip(*ip).find(state.snapshot()),
    };
    let protocol = query.protocol.as_deref().map_or(Ok(Protocol::Tcp), str::parse)?;
    let destination = end(&query.dst)?;
    let addresses = query.via_service.then(|| state.engine.service_addresses(destination));
    let verdict = state.engine.evaluate(&Query {
        source: end(&query.src)?,
        destination,
        protocol,
        port: query.port,
        via_service: addresses.as_deref(),
    });
    Ok(Answer::new(&verdict))
}

fn text(query: &Line, answer: &Answer, out: &mut impl Write) -> Result<()> {
    let style = Style::of_stdout();
    let word = match (answer.defined, answer.allowed) {
        (_, true) => style.good("allow"),
        (_, false) => style.bad("deny "),
    };
    let unsure = if answer.defined { String::new() } else { style.unsure(" (undefined)") };
    let name = |name: &Name| match name {
        Name::Pod(key) => key.clone(),
        Name::Ip(ip) => ip.to_string(),
    };
    let protocol = query.protocol.as_deref().unwrap_or("TCP");
    let id = query.id.as_str().map_or_else(|| query.id.to_string(), str::to_owned);
    writeln!(
        out,
        "{word} {id}: {} -> {} {protocol} {}{unsure}",
        name(&query.src),
        name(&query.dst),
        query.port
    )?;
    Ok(())
}

fn word(allowed: bool) -> &'static str {
    if allowed { "allow" } else { "deny" }
}

fn report(tally: &Tally) {
    for mismatch in &tally.mismatches {
        eprintln!("{mismatch}");
    }
    let met = tally.expected - tally.mismatches.len();
    eprintln!(
        "{met} of {} expectations met, {} queries without one, {} not answered",
        tally.expected,
        tally.answered - tally.expected,
        tally.failed
    );
}
