//! Mistakes in policies that no API server refuses.
//!
//! Each rule is a function from the state to findings, in the file of its subject. To add one: a variant of [`LintCode`] with
//! its severity and summary, and the function, called in its file's `findings`.

mod addresses;
mod cluster;
mod complementary;
mod coverage;
mod dns;
mod exposed;
mod finding;
mod host_network;
mod ignored;
mod pairs;
mod ports;
mod priority;
mod sarif;
mod selectors;
mod shadow;
mod typo;
mod written;

pub use finding::{LintCode, LintFinding, Severity, UnknownLintCode};
pub use ignored::{Baseline, IGNORE_ANNOTATION, KnownFinding, LintFilter};
pub use sarif::sarif;

use self::cluster::LintInput;
use crate::{cluster::manifests::ManifestError, declared::DeclaredState};

/// All findings, the worst first, then by place.
#[must_use]
pub fn lint(state: &DeclaredState) -> Vec<LintFinding> {
    let input = LintInput::new(state);
    let mut findings: Vec<LintFinding> = state.manifests.errors.iter().map(refused).collect();
    findings.extend(selectors::findings(&input));
    findings.extend(coverage::findings(&input));
    findings.extend(ports::findings(&input));
    findings.extend(addresses::findings(&input));
    findings.extend(pairs::findings(&input));
    findings.extend(shadow::findings(&input));
    findings.extend(dns::findings(&input));
    findings.extend(exposed::findings(&input));
    findings.extend(host_network::findings(&input));
    findings.extend(priority::findings(&input));
    findings.extend(complementary::findings(&input));
    findings.extend(written::findings(&input));
    ignored::explained(&input, &mut findings);
    findings
        .sort_by(|a, b| (a.severity, &a.file, a.line, a.code).cmp(&(b.severity, &b.file, b.line, b.code)));
    findings
}

/// An object that could not be loaded is a finding like any other.
fn refused(error: &ManifestError) -> LintFinding {
    LintFinding {
        code: LintCode::InvalidObject,
        severity: LintCode::InvalidObject.severity(),
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
