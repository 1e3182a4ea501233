//! `netpol lint`: mistakes in policies that no API server refuses.

use std::{fmt::Write as _, process::ExitCode};

use anyhow::Result;
use clap::{Args, ValueEnum};
use netpol_agent::lint::{LintFinding, Severity, lint, sarif};

use crate::{
    input::Source,
    print::print,
    style::{bad, strong, unsure, wrapped},
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
        source.report_passed_over(&state);
        let findings = lint(&state);
        print(&match output {
            Output::Text => text(&findings),
            Output::Json => serde_json::to_string_pretty(&findings)? + "\n",
            Output::Sarif => serde_json::to_string_pretty(&sarif(&findings))? + "\n",
        })?;
        Ok(ExitCode::from(match findings.iter().map(|finding| finding.severity).min() {
            Some(Severity::Error) => 2,
            Some(Severity::Warning) => 1,
            Some(Severity::Info) | None => 0,
        }))
    }
}

fn text(findings: &[LintFinding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let severity = match finding.severity {
            Severity::Error => bad("error"),
            Severity::Warning => unsure("warning"),
            Severity::Info => strong("info"),
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
