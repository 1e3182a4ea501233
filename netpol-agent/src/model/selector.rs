//! Label selectors, with the semantics of the Kubernetes API.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::Labels;

/// A label selector. All requirements must hold; a selector without requirements matches everything.
///
/// `matchLabels` and `matchExpressions` are combined into one sorted list, so that equivalent selectors are equal.
/// Clones share the list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LabelSelector {
    requirements: Arc<[Requirement]>,
}

/// A requirement on one label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Requirement {
    /// The label's key.
    pub key: Box<str>,
    /// The allowed values.
    pub values: Values,
}

/// The values that a requirement allows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Values {
    /// The label exists and has one of these values. `matchLabels` gives exactly one.
    In(Box<[Box<str>]>),
    /// The label has none of these values or does not exist.
    NotIn(Box<[Box<str>]>),
    /// The label exists.
    Exists,
    /// The label does not exist.
    DoesNotExist,
}

impl LabelSelector {
    /// Creates a selector from requirements.
    #[must_use]
    pub fn new(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort();
        requirements.dedup();
        Self { requirements: requirements.into() }
    }

    /// Creates a selector from `matchLabels`.
    #[must_use]
    pub fn from_labels(labels: &[(&str, &str)]) -> Self {
        Self::new(labels.iter().map(|(key, value)| Requirement::equals(key, value)).collect())
    }

    /// Returns whether all requirements hold.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|requirement| requirement.matches(labels))
    }

    /// Returns whether the selector has no requirements, so that it matches everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Returns the requirements, sorted.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }
}

impl Requirement {
    /// Creates the requirement that a label has exactly this value.
    #[must_use]
    pub fn equals(key: &str, value: &str) -> Self {
        Self { key: key.into(), values: Values::In([value.into()].into()) }
    }

    /// Returns whether the requirement holds.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match &self.values {
            Values::In(values) => value.is_some_and(|value| values.iter().any(|v| **v == *value)),
            Values::NotIn(values) => value.is_none_or(|value| values.iter().all(|v| **v != *value)),
            Values::Exists => value.is_some(),
            Values::DoesNotExist => value.is_none(),
        }
    }
}

/// Writes the selector as `kubectl --selector` accepts it; `<all>` for the empty one.
impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("<all>");
        }
        for (i, requirement) in self.requirements.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            write!(f, "{requirement}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.values {
            Values::In(values) => match &**values {
                [value] => write!(f, "{}={value}", self.key),
                values => write!(f, "{} in ({})", self.key, values.join(",")),
            },
            Values::NotIn(values) => write!(f, "{} notin ({})", self.key, values.join(",")),
            Values::Exists => f.write_str(&self.key),
            Values::DoesNotExist => write!(f, "!{}", self.key),
        }
    }
}
