//! Findings that do not count: since an annotation of the object says why, they are not asked for, or they were there before.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::{
    cluster::LintInput,
    finding::{LintCode, LintFinding},
};
use crate::{
    cluster::{ObjectRef, yaml::Yaml},
    model::FieldPath,
};

/// The annotation that says which findings about an object are meant, and why: `code: reason`, several with `;` between.
pub const IGNORE_ANNOTATION: &str = "netpol/lint-ignore";

/// Which findings count.
#[derive(Clone, Debug, Default)]
pub struct LintFilter {
    /// These codes alone; all where there is none.
    pub select: Vec<LintCode>,
    /// Not these codes.
    pub ignore: Vec<LintCode>,
    /// Not what was there before.
    pub baseline: Baseline,
}

/// Findings that are known, whatever line they are on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// The findings.
    pub findings: BTreeSet<KnownFinding>,
}

/// A finding that is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KnownFinding {
    /// Its code.
    pub code: String,
    /// Kind and name of the object.
    pub object: Option<String>,
    /// The field.
    pub path: String,
}

impl KnownFinding {
    fn of(finding: &LintFinding) -> Self {
        Self {
            code: finding.code.name().to_owned(),
            object: finding.object.clone(),
            path: finding.path.to_string(),
        }
    }
}

impl Baseline {
    /// All of these are known.
    #[must_use]
    pub fn of(findings: &[LintFinding]) -> Self {
        Self { findings: findings.iter().map(KnownFinding::of).collect() }
    }
}

impl LintFilter {
    /// Takes out what does not count.
    pub fn apply(&self, findings: &mut Vec<LintFinding>) {
        let Self { select, ignore, baseline } = self;
        findings.retain(|finding| {
            (select.is_empty() || select.contains(&finding.code))
                && !ignore.contains(&finding.code)
                && !baseline.findings.contains(&KnownFinding::of(finding))
        });
    }
}

/// Takes out the findings that annotations explain. One without a reason explains nothing, and is a finding itself.
pub(super) fn explained(cluster: &LintInput<'_>, findings: &mut Vec<LintFinding>) {
    let policies = cluster.policies.iter().map(|policy| policy.id.clone());
    let policies = policies.chain(cluster.cluster_policies.iter().map(|policy| policy.id.clone()));
    let namespaces = cluster.namespaces.iter().map(|namespace| ObjectRef::Namespace(namespace.name.clone()));
    let mut known: HashMap<String, BTreeSet<String>> = HashMap::new();
    for object in policies.map(ObjectRef::Policy).chain(namespaces) {
        let Some(origin) = cluster.state.manifests.origin(&object) else { continue };
        let Some(text) = origin.document().and_then(annotation) else { continue };
        let mut codes = BTreeSet::new();
        for entry in text.split([';', '\n']).map(str::trim).filter(|entry| !entry.is_empty()) {
            match entry.split_once(':').map(|(code, reason)| (code.trim(), reason.trim())) {
                Some((code, reason)) if !reason.is_empty() => {
                    codes.insert(code.to_owned());
                }
                _ => findings.push(unexplained(&object.to_string(), entry, &origin.file, origin.line)),
            }
        }
        known.insert(object.to_string(), codes);
    }
    findings.retain(|finding| {
        let codes = finding.object.as_ref().and_then(|object| known.get(object));
        !codes.is_some_and(|codes| codes.contains(finding.code.name()))
    });
}

fn annotation(document: &Yaml) -> Option<&str> {
    document.get("metadata")?.get("annotations")?.get(IGNORE_ANNOTATION)?.as_str()
}

fn unexplained(object: &str, entry: &str, file: &str, line: u32) -> LintFinding {
    let code = LintCode::IgnoreWithoutReason;
    LintFinding {
        code,
        severity: code.severity(),
        object: Some(object.to_owned()),
        path: FieldPath::parse("metadata.annotations"),
        file: file.to_owned(),
        line,
        reason: format!(
            "annotation {IGNORE_ANNOTATION} has {entry:?}, without a reason, so that it ignores nothing"
        ),
        remedy: "write `code: reason`".to_owned(),
    }
}
