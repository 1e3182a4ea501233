//! A label selector as it is written.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::check::{At, Invalid, each, label_key};
use crate::model::{LabelSelector, Requirement, Values};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ApiSelector {
    pub(super) match_labels: Option<MatchLabels>,
    pub(super) match_expressions: Option<Vec<Expression>>,
}

/// A value of `null` is the empty string, as for the API server.
pub(super) type MatchLabels = BTreeMap<String, Option<String>>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expression {
    key: String,
    operator: String,
    #[serde(default)]
    values: Option<Vec<String>>,
}

impl ApiSelector {
    /// A value that no label can have is equal to none, and that is what it means: servers before 1.25 took it in
    /// `matchExpressions`, later ones keep such objects, and for the kinds that are CRDs none looks at it.
    pub(super) fn check(self, at: At<'_>) -> Result<LabelSelector, Invalid> {
        let labels = at.key("matchLabels");
        let mut requirements = Vec::new();
        for (key, value) in self.match_labels.into_iter().flatten() {
            let value = value.unwrap_or_default();
            label_key(&key, labels.key(&key))?;
            requirements.push(Requirement::equals(&key, &value));
        }
        let expressions = self.match_expressions.unwrap_or_default();
        requirements.extend(each(at.key("matchExpressions"), expressions, requirement)?);
        Ok(LabelSelector::new(requirements))
    }
}

fn requirement(api: Expression, at: At<'_>) -> Result<Requirement, Invalid> {
    label_key(&api.key, at.key("key"))?;
    let at_values = at.key("values");
    let mut values: Vec<Box<str>> =
        api.values.unwrap_or_default().into_iter().map(String::into_boxed_str).collect();
    values.sort();
    values.dedup();
    let values: Box<[Box<str>]> = values.into();
    let values = match (api.operator.as_str(), values.is_empty()) {
        ("In", false) => Values::In(values),
        ("NotIn", false) => Values::NotIn(values),
        ("Exists", true) => Values::Exists,
        ("DoesNotExist", true) => Values::DoesNotExist,
        ("In" | "NotIn", true) => {
            return Err(at_values.invalid(format!("{} needs at least one value", api.operator)));
        }
        ("Exists" | "DoesNotExist", false) => {
            return Err(at_values.invalid(format!("{} takes no values: leave them out", api.operator)));
        }
        (other, _) => {
            let reason = format!("{other:?} is no operator: use In, NotIn, Exists or DoesNotExist");
            return Err(at.key("operator").invalid(reason));
        }
    };
    Ok(Requirement { key: api.key.into(), values })
}
