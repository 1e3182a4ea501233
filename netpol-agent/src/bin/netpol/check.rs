//! `netpol check`: many queries at once, and unit tests for policies.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anstream::AutoStream;
use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use netpol_agent::{
    check::{CheckOutcome, CheckQuery, CheckResult, CheckSummary},
    declared::Answer,
};

use crate::{
    input::Source,
    style::{bad, good, unsure},
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

impl Check {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let Self { source, queries, expect, output } = &self;
        let state = source.load_and_report()?;
        let mut out = BufWriter::new(AutoStream::auto(io::stdout().lock()));
        let mut summary = CheckSummary::default();
        for (number, line) in (1_usize..).zip(open(queries)?.lines()) {
            let line = line.with_context(|| format!("can't read queries from {}", queries.display()))?;
            if !line.trim().is_empty() {
                let place = format!("{}:{number}", queries.display());
                let (result, query) = summary.check(&state, &line, &place);
                print(&place, *output, &result, query.as_ref(), &mut out)?;
            }
        }
        out.flush()?;
        drop(out);
        if *expect {
            report(&summary);
        }
        let untrusted = *expect && !state.manifests.errors.is_empty();
        let differs = *expect && !summary.mismatches.is_empty();
        Ok(ExitCode::from(u8::from(summary.failed > 0 || differs || untrusted)))
    }
}

fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path).with_context(|| format!("can't read queries from {}", path.display()))?;
    Ok(Box::new(BufReader::new(file)))
}

fn print(
    place: &str,
    output: Output,
    result: &CheckResult,
    query: Option<&CheckQuery>,
    out: &mut impl Write,
) -> Result<()> {
    match (output, &result.outcome, query) {
        (Output::Json, ..) => writeln!(out, "{}", serde_json::to_string(result)?)?,
        (Output::Text, CheckOutcome::Answered(answer), Some(query)) => text(query, answer, out)?,
        (Output::Text, CheckOutcome::Failed { error }, _) => writeln!(out, "{place}: error: {error}")?,
        (Output::Text, CheckOutcome::Answered(_), None) => {}
    }
    Ok(())
}

fn text(query: &CheckQuery, answer: &Answer, out: &mut impl Write) -> Result<()> {
    let word = if answer.allowed { good("allow") } else { bad("deny ") };
    let unsure = if answer.defined { String::new() } else { unsure(" (undefined)") };
    let protocol = query.protocol.as_deref().unwrap_or("TCP");
    let id = query.id.as_str().map_or_else(|| query.id.to_string(), str::to_owned);
    writeln!(out, "{word} {id}: {} -> {} {protocol} {}{unsure}", query.src, query.dst, query.port)?;
    Ok(())
}

fn report(summary: &CheckSummary) {
    for mismatch in &summary.mismatches {
        eprintln!("{mismatch}");
    }
    let met = summary.expected - summary.mismatches.len();
    eprintln!(
        "{met} of {} expectations met, {} queries without one, {} not answered",
        summary.expected,
        summary.answered - summary.expected,
        summary.failed
    );
}
