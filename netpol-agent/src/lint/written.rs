//! What is wrong with how objects are written: given twice, words that are booleans, templates that are not rendered.

use super::{
    cluster::LintInput,
    finding::{LintCode, LintFinding, Severity},
};
use crate::{
    cluster::{
        ObjectRef,
        manifests::{DuplicateObject, WordForBoolean},
        yaml::{Value, Yaml},
    },
    model::{FieldPath, PolicyRef, Step},
};

pub(super) fn findings(cluster: &LintInput<'_>) -> Vec<LintFinding> {
    let manifests = &cluster.state.manifests;
    let mut findings: Vec<LintFinding> = manifests.duplicates.iter().map(duplicate).collect();
    findings.extend(manifests.booleans.iter().map(boolean));
    let policies = cluster.policies.iter().map(|policy| &policy.id);
    for id in policies.chain(cluster.cluster_policies.iter().map(|policy| &policy.id)) {
        findings.extend(placeholder(cluster, id));
    }
    findings
}

fn duplicate(duplicate: &DuplicateObject) -> LintFinding {
    let DuplicateObject { object, file, line, earlier, is_same } = duplicate;
    let code = LintCode::DuplicateObject;
    let what = if *is_same { "says the same" } else { "replaces it, as with kubectl apply" };
    LintFinding {
        code,
        severity: if *is_same { Severity::Info } else { code.severity() },
        object: Some(object.clone()),
        path: FieldPath::default(),
        file: file.to_string(),
        line: *line,
        reason: format!("an object of this name is also in {earlier}, and this one {what}"),
        remedy: "remove one of them, or give it another name".to_owned(),
    }
}

fn boolean(word: &WordForBoolean) -> LintFinding {
    let WordForBoolean { object, file, line, path, word } = word;
    let code = LintCode::InvalidObject;
    LintFinding {
        code,
        severity: code.severity(),
        object: Some(object.clone()),
        path: path.clone(),
        file: file.to_string(),
        line: *line,
        reason: format!(
            "must be a string: kubectl reads an unquoted {word} as a boolean, which the API server refuses"
        ),
        remedy: format!("put {word} in quotes"),
    }
}

/// The first field of a policy that has a placeholder of a template.
fn placeholder(cluster: &LintInput<'_>, id: &PolicyRef) -> Option<LintFinding> {
    let origin = cluster.state.manifests.origin(&ObjectRef::Policy(id.clone()))?;
    let (path, text) = find(origin.document()?, &mut Vec::new())?;
    let reason = format!("{text:?} is a placeholder that nothing has filled in");
    let remedy = "render the template first (helm template, kustomize build, envsubst)".to_owned();
    let finding = cluster.finding(LintCode::TemplatePlaceholder, id, "", reason, remedy);
    Some(LintFinding { line: origin.line_of(&path), path, ..finding })
}

fn find(node: &Yaml, steps: &mut Vec<Step>) -> Option<(FieldPath, String)> {
    let mut within = |step: Step, node: &Yaml| {
        steps.push(step);
        let found = find(node, steps);
        steps.pop();
        found
    };
    match &node.value {
        Value::String(text) => is_placeholder(text).then(|| (FieldPath(steps.clone()), text.clone())),
        Value::List(items) => items.iter().enumerate().find_map(|(i, item)| within(Step::Index(i), item)),
        Value::Map(entries) => entries
            .iter()
            .filter(|(key, _)| key.text != "annotations")
            .find_map(|(key, value)| within(Step::Key(key.text.as_str().into()), value)),
        _ => None,
    }
}

fn is_placeholder(text: &str) -> bool {
    ["{{", "${", "$(", "<%"].iter().any(|mark| text.contains(mark))
}
