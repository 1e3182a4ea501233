//! Label selectors, as the API defines them.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::Labels;

/// What labels must be like; all requirements hold at once, and none means that everything matches.
///
/// `matchLabels` and `matchExpressions` are one sorted list here, so that two selectors that mean the same are equal. A clone shares it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LabelSelector {
    requirements: Arc<[Requirement]>,
}

/// One requirement on one label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Requirement {
    /// The label's key.
    pub key: Box<str>,
    /// What its value must be like.
    pub values: Values,
}

/// What the value of a label must be like.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Values {
    /// There, and one of these. `matchLabels` asks for exactly one.
    In(Box<[Box<str>]>),
    /// None of these, or not there.
    NotIn(Box<[Box<str>]>),
    /// There.
    Exists,
    /// Not there.
    DoesNotExist,
}

impl LabelSelector {
    /// The selector with these requirements.
    #[must_use]
    pub fn new(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort();
        requirements.dedup();
        Self { requirements: requirements.into() }
    }

    /// The selector that `matchLabels` alone makes.
    #[must_use]
    pub fn from_labels(labels: &[(&str, &str)]) -> Self {
        Self::new(labels.iter().map(|(key, value)| Requirement::equals(key, value)).collect())
    }

    /// Whether all requirements hold.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|requirement| requirement.matches(labels))
    }

    /// Whether it matches everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Its requirements, sorted.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }
}

impl Requirement {
    /// That the label has exactly this value.
    #[must_use]
    pub fn equals(key: &str, value: &str) -> Self {
        Self { key: key.into(), values: Values::In([value.into()].into()) }
    }

    /// Whether it holds.
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

/// As `kubectl --selector` writes it; `<all>` for the empty one.
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
