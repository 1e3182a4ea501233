//! What a run has seen, told at its end.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Serialize;

use super::{compact, json};
use crate::model::{Finding, Outcome};

/// Connections by outcome, and the findings that are open.
#[derive(Debug)]
pub struct Summary<'a> {
    /// Connections by outcome.
    pub flows: &'a BTreeMap<Outcome, u64>,
    /// Open findings, in the order to show them.
    pub findings: Vec<&'a Finding>,
    /// Records lost on the way, over all causes.
    pub lost: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    r#type: &'static str,
    flows: &'a BTreeMap<Outcome, u64>,
    findings: Vec<json::FindingLine<'a>>,
    records_lost: u64,
}

impl Summary<'_> {
    /// For people: some lines.
    pub(super) fn text(&self) -> String {
        let mut text = String::from("\nConnections by outcome\n");
        for outcome in Outcome::ALL {
            if let Some(count) = self.flows.get(&outcome) {
                // Writing to a string does not fail.
                let _ = writeln!(text, "  {:<18} {count:>7}", outcome.name());
            }
        }
        let _ = writeln!(text, "\nFindings: {}", self.findings.len());
        for finding in &self.findings {
            let _ = writeln!(
                text,
                "  {} (seen {}x)",
                compact::about(finding).replace("; ", "\n      "),
                finding.count
            );
        }
        let _ = write!(text, "\nRecords lost: {}", self.lost);
        text
    }

    /// For programs: one object.
    pub(super) fn json(&self) -> serde_json::Result<String> {
        let findings = self.findings.iter().map(|finding| json::view(finding)).collect();
        serde_json::to_string(&Line {
            r#type: "summary",
            flows: self.flows,
            findings,
            records_lost: self.lost,
        })
    }
}
