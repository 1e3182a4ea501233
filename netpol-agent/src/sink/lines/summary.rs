//! The summary at the end of a run: connections by outcome, and the open findings.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Serialize;

use super::compact;
use crate::{
    model::{Outcome, Summary},
    sink::json,
};

#[derive(Serialize)]
struct Line<'a> {
    r#type: &'static str,
    flows: &'a BTreeMap<Outcome, u64>,
    findings: Vec<json::FindingLine<'a>>,
    records_lost: u64,
}

/// The summary as text, in several lines.
pub(super) fn text(summary: &Summary, lost: u64) -> String {
    let mut text = String::from("\nConnections by outcome\n");
    for outcome in Outcome::ALL {
        if let Some(count) = summary.flows.get(&outcome) {
            // Writing to a string does not fail.
            let _ = writeln!(text, "  {:<18} {count:>7}", outcome.name());
        }
    }
    let _ = writeln!(text, "\nFindings: {}", summary.findings.len());
    for finding in &summary.findings {
        let about = compact::about(finding).replace("; ", "\n      ");
        let _ = writeln!(text, "  {about} (seen {}x)", finding.count);
    }
    let _ = write!(text, "\nRecords lost: {lost}");
    text
}

/// The summary as one JSON object.
pub(super) fn json(summary: &Summary, lost: u64) -> serde_json::Result<String> {
    let findings = summary.findings.iter().map(json::view).collect();
    serde_json::to_string(&Line { r#type: "summary", flows: &summary.flows, findings, records_lost: lost })
}
