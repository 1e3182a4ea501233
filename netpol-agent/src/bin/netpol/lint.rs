//! `netpol lint`: mistakes in policies that no API server refuses.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use netpol_agent::lint::{Baseline, LintCode, LintFilter, LintFinding, Severity, lint, sarif};

use crate::{
    input::Source,
    print::print,
    style::{bad, strong, unsure, wrapped},
};

/// Find mistakes in policies: selectors that match nothing, forgotten directions, ports that nobody serves …
///
/// The exit status is 0 for information at most, 1 for warnings, 2 for errors. Files may be incomplete: objects that are not
/// in them can exist elsewhere. For a live cluster, such objects count as missing.
#[derive(Debug, Args)]
pub(crate) struct Lint {
    #[command(flatten)]
    source: Source,
    /// Report only these findings, by code. Can be repeated, or a list with commas.
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    select: Vec<LintCode>,
    /// Do not report these findings. The annotation `netpol/lint-ignore: "CODE: REASON"` does this for one object.
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    ignore: Vec<LintCode>,
    /// A file of known findings, which are not reported; see --write-baseline.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Write the findings to a file for --baseline, and exit with status 0.
    #[arg(long, value_name = "FILE", conflicts_with = "baseline")]
    write_baseline: Option<PathBuf>,
    /// The lowest severity for which the exit status is not 0.
    #[arg(long, value_name = "SEVERITY", default_value = "warning")]
    fail_on: FailOn,
    /// The output format.
    #[arg(long, short, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Error,
    Warning,
    Info,
    Never,
}

impl FailOn {
    /// The exit status where the worst finding is this one.
    fn status(self, worst: Option<Severity>) -> u8 {
        let fails = match (self, worst) {
            (Self::Never, _) | (_, None) => false,
            (Self::Info, Some(_)) => true,
            (Self::Warning, Some(severity)) => severity <= Severity::Warning,
            (Self::Error, Some(severity)) => severity == Severity::Error,
        };
        match worst {
            Some(Severity::Error) if fails => 2,
            _ => u8::from(fails),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
    Sarif,
}

impl Lint {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let Self { source, select, ignore, baseline, write_baseline, fail_on, output } = self;
        let state = source.load()?;
        source.report_passed_over(&state);
        let mut findings = lint(&state);
        let baseline = baseline.as_deref().map(read_baseline).transpose()?.unwrap_or_default();
        LintFilter { select, ignore, baseline }.apply(&mut findings);
        if let Some(path) = write_baseline {
            let text = serde_json::to_string_pretty(&Baseline::of(&findings))? + "\n";
            fs::write(&path, text).with_context(|| format!("can't write {}", path.display()))?;
            return Ok(ExitCode::SUCCESS);
        }
        print(&match output {
            Output::Text => text(&findings),
            Output::Json => serde_json::to_string_pretty(&findings)? + "\n",
            Output::Sarif => serde_json::to_string_pretty(&sarif(&findings))? + "\n",
        })?;
        Ok(ExitCode::from(fail_on.status(findings.iter().map(|finding| finding.severity).min())))
    }
}

fn read_baseline(path: &Path) -> Result<Baseline> {
    let text = fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
    let baseline = serde_json::from_slice(&text);
    baseline.with_context(|| format!("{} is no baseline: write one with --write-baseline", path.display()))
}

fn text(findings: &[LintFinding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let severity = match finding.severity {
            Severity::Error => bad("error"),
            Severity::Warning => unsure("warning"),
            Severity::Info => strong("info"),
        };
        // What is read from a cluster is written in no file.
        let place = match &*finding.file {
            "" => "in the cluster".to_owned(),
            file => format!("{file}:{}", finding.line),
        };
        let _ = writeln!(text, "{severity}[{}] {place}", finding.code.name());
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
