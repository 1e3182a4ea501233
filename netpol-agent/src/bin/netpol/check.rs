//! `netpol check`: many queries at once, and unit tests for policies.

mod junit;

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anstream::AutoStream;
use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use netpol_agent::check::{CheckOutcome, CheckQuery, CheckResult, CheckSummary};

use crate::{
    input::Source,
    print::say,
    style::{bad, good, unsure},
};

/// Answer many queries, one result line each, in the order of the queries.
///
/// A query is a JSON object in one line: {"id": 1, "src": {"pod": "shop/web"}, "dst": {"ip": "8.8.8.8"}, "protocol":
/// "TCP", "port": 443, "via_service": false}; protocol, port and via_service are optional. A query without a port is
/// about all ports. An endpoint is an object with `pod`, `ip`, `cidr`, `node`, `service`, `workload` or `labels`, and an
/// optional `namespace`, or a text as for `netpol explain`. With --expect, a query can have "expect": "allow", "deny" or
/// "undefined". The exit status is 1 if a query can't be answered, an answer is not the expected one, or an object can't
/// be read; and 2 if no query can be answered.
#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    source: Source,
    /// The namespace of endpoints without one.
    #[arg(long, short)]
    namespace: Option<String>,
    /// The file of queries, one JSON object per line; `-` for standard input.
    #[arg(long, short, value_name = "FILE")]
    queries: PathBuf,
    /// Compare each answer with the query's "expect", and list the differences.
    #[arg(long)]
    expect: bool,
    /// The output format.
    #[arg(long, short, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
    /// A JUnit report (XML), for CI systems.
    Junit,
}

impl Check {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let Self { source, namespace, queries, expect, output } = &self;
        if source.reads_stdin() && queries == Path::new("-") {
            bail!("manifests and queries can't both come from standard input: put one of them into a file");
        }
        let state = source.load_and_report()?;
        let mut out = BufWriter::new(AutoStream::auto(io::stdout().lock()));
        let mut summary = CheckSummary { namespace: namespace.clone(), ..CheckSummary::default() };
        let mut cases = Vec::new();
        for (number, line) in (1_usize..).zip(open(queries)?.lines()) {
            let line = line.with_context(|| format!("can't read queries from {}", queries.display()))?;
            if line.trim().is_empty() {
                continue;
            }
            let place = format!("{}:{number}", queries.display());
            let (result, query) = summary.check(&state, &line, &place);
            match output {
                Output::Junit => cases.push(junit::Case::new(&place, &result, query.as_ref(), *expect)),
                Output::Json => writeln!(out, "{}", serde_json::to_string(&result)?)?,
                Output::Text => text(&place, &result, query.as_ref(), &mut out)?,
            }
        }
        if *output == Output::Junit {
            out.write_all(junit::report(&cases).as_bytes())?;
        }
        out.flush()?;
        drop(out);
        report(&summary, *expect);
        if summary.answered + summary.failed == 0 {
            bail!("no query in {}: nothing was checked", queries.display());
        }
        let differs = *expect && !summary.mismatches.is_empty();
        let failed = summary.failed > 0 || differs || !state.manifests.errors.is_empty();
        Ok(ExitCode::from(u8::from(failed)))
    }
}

fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path).with_context(|| format!("can't read queries from {}", path.display()))?;
    Ok(Box::new(BufReader::new(file)))
}

fn text(place: &str, result: &CheckResult, query: Option<&CheckQuery>, out: &mut impl Write) -> Result<()> {
    match (&result.outcome, query) {
        (CheckOutcome::Answered(answer), Some(query)) => {
            let word = if answer.allowed { good("allow") } else { bad("deny ") };
            let unsure = if answer.defined { String::new() } else { unsure(" (undefined)") };
            writeln!(out, "{word} {}{unsure}", title(query))?;
        }
        (CheckOutcome::Failed { error }, _) => writeln!(out, "{place}: error: {error}")?,
        (CheckOutcome::Answered(_), None) => {}
    }
    Ok(())
}

/// A query in a line.
fn title(query: &CheckQuery) -> String {
    let id = match &query.id {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(id) => format!("{id}: "),
        id => format!("{id}: "),
    };
    let port = match (query.protocol.as_deref(), query.port) {
        (protocol, Some(port)) => format!("{} {port}", protocol.unwrap_or("TCP")),
        (Some(protocol), None) => format!("{protocol} any port"),
        (None, None) => "any port".to_owned(),
    };
    format!("{id}{} -> {} {port}", query.src, query.dst)
}

/// The summary, on standard error.
fn report(summary: &CheckSummary, expect: bool) {
    let CheckSummary { answered, allowed, denied, failed, expected, mismatches, namespace: _ } = summary;
    if !expect {
        let undefined = answered - allowed - denied;
        let text =
            format!("allowed: {allowed}, denied: {denied}, undefined: {undefined}, not answered: {failed}");
        return say(text);
    }
    mismatches.iter().for_each(say);
    let met = expected - mismatches.len();
    let others = answered - expected;
    say(format_args!(
        "{met} of {expected} expectations met, {others} queries without one, {failed} not answered"
    ));
}
