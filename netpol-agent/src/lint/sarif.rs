//! Findings as SARIF 2.1.0, for code hosts that show them in reviews.

use serde_json::{Value, json};

use super::finding::{LintCode, LintFinding, Severity};

/// The log of one run.
#[must_use]
pub fn sarif(findings: &[LintFinding]) -> Value {
    let rules: Vec<Value> = LintCode::ALL
        .iter()
        .map(|code| {
            json!({
                "id": code.name(),
                "shortDescription": { "text": code.summary() },
                "defaultConfiguration": { "level": level(code.severity()) },
            })
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "netpol", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "results": findings.iter().map(result).collect::<Vec<_>>(),
        }],
    })
}

fn result(finding: &LintFinding) -> Value {
    let object = finding.object.as_deref().unwrap_or_default();
    json!({
        "ruleId": finding.code.name(),
        "level": level(finding.severity),
        "message": { "text": format!("{}. {}", finding.reason, finding.remedy) },
        "locations": [{
            "physicalLocation": {
                "artifactLocation": { "uri": finding.file },
                "region": { "startLine": finding.line.max(1) },
            },
            "logicalLocations": [{ "fullyQualifiedName": format!("{object} {}", finding.path).trim() }],
        }],
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}
