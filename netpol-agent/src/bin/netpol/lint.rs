//! `netpol lint`: mistakes in policies that no API server refuses.

mod addresses;
mod cluster;
mod coverage;
mod finding;
mod pairs;
mod ports;
mod sarif;
mod selectors;
mod shadow;

use std::{fmt::Write as _, process::ExitCode};

use anyhow::Result;
use clap::{Args, ValueEnum};
use netpol_agent::cluster::manifests::ManifestError;

use self::{
    cluster::Cluster,
    finding::{Code, Finding, Severity},
};
use crate::{
    input::Source,
    style::{Style, wrapped},
};

/// Find mistakes in policies: selectors that match nothing, forgotten directions, ports that nobody serves …
///
/// The exit status says how bad it is: 0 where there is at most information, 1 for warnings, 2 for errors.
#[derive(Debug, Args)]
pub(crate) struct Lint {
    #[command(flatten)]
    source: Source,
    /// How to print findings.
    #[arg(long, short, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
    Sarif,
}

impl Lint {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let Self { source, output } = self;
        let state = source.load()?;
        let cluster = Cluster::new(&state);
        let mut findings: Vec<Finding> = state.manifests.errors.iter().map(refused).collect();
        findings.extend(selectors::findings(&cluster));
        findings.extend(coverage::findings(&cluster));
        findings.extend(ports::findings(&cluster));
        findings.extend(addresses::findings(&cluster));
        findings.extend(pairs::findings(&cluster));
        findings.extend(shadow::findings(&cluster));
        findings.sort_by(|a, b| {
            (a.severity, &a.file, a.line, a.code).cmp(&(b.severity, &b.file, b.line, b.code))
        });
        match output {
            Output::Text => print!("{}", text(&findings)),
            Output::Json => println!("{}", serde_json::to_string_pretty(&findings)?),
            Output::Sarif => println!("{}", serde_json::to_string_pretty(&sarif::log(&findings))?),
        }
        Ok(ExitCode::from(match findings.iter().map(|finding| finding.severity).min() {
            Some(Severity::Error) => 2,
            Some(Severity::Warning) => 1,
            Some(Severity::Info) | None => 0,
        }))
    }
}

/// An object that could not be loaded is a finding like any other.
fn refused(error: &ManifestError) -> Finding {
    Finding {
        code: Code::InvalidObject,
        severity: Code::InvalidObject.severity(),
        object: error.object.clone(),
        path: error.path.clone(),
        file: error.file.to_string(),
        line: error.line,
        reason: error.reason.clone(),
        remedy:
            "correct the field: until then the object has no effect here, and the API server would refuse it"
                .to_owned(),
    }
}

fn text(findings: &[Finding]) -> String {
    let style = Style::of_stdout();
    let mut text = String::new();
    for finding in findings {
        let severity = match finding.severity {
            Severity::Error => style.bad("error"),
            Severity::Warning => style.unsure("warning"),
            Severity::Info => style.strong("info"),
        };
        let _ = writeln!(text, "{severity}[{}] {}:{}", finding.code.name(), finding.file, finding.line);
        let object = finding.object.as_deref().unwrap_or("(unnamed)");
        let path = finding.path.to_string();
        let _ = writeln!(text, "  {}", wrapped(&format!("{object} {path}"), 2));
        let _ = writeln!(text, "  {}", wrapped(&finding.reason, 2));
        let _ = writeln!(text, "  help: {}\n", wrapped(&finding.remedy, 8));
    }
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let _ = writeln!(
        text,
        "errors: {}, warnings: {}, hints: {}",
        count(Severity::Error),
        count(Severity::Warning),
        count(Severity::Info)
    );
    text
}
