//! Parses label selectors in the syntax of `kubectl -l`. A key may have the label's source in front (`k8s:app`).

use std::fmt;

/// A label selector: all of its requirements must match.
#[derive(Debug)]
pub(super) struct Selector(Vec<Requirement>);

#[derive(Debug)]
struct Requirement {
    key: Key,
    test: Test,
}

#[derive(Debug)]
struct Key {
    /// The label's source. `None` for any source.
    source: Option<String>,
    name: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    DoesNotExist,
}

/// The requirement that is not valid.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InvalidSelector(String);

impl fmt::Display for InvalidSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a requirement: key, !key, key=value, key!=value, key in (a, b), key notin (a, b)",
            self.0
        )
    }
}

impl Selector {
    pub(super) fn parse(text: &str) -> Result<Self, InvalidSelector> {
        split(text).into_iter().map(Requirement::parse).collect::<Result<_, _>>().map(Self)
    }

    /// Returns true if labels match the selector. Each label is `source:key=value`.
    pub(super) fn matches(&self, labels: &[String]) -> bool {
        self.0.iter().all(|requirement| requirement.matches(labels))
    }
}

/// Splits a selector at the commas outside of parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let parts = text.split(|char: char| {
        match char {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        char == ',' && depth == 0
    });
    parts.collect()
}

impl Requirement {
    fn parse(text: &str) -> Result<Self, InvalidSelector> {
        let invalid = || InvalidSelector(text.trim().to_owned());
        let (key, test) = Self::parts(text.trim()).ok_or_else(invalid)?;
        let key = Key::parse(key).ok_or_else(invalid)?;
        Ok(Self { key, test })
    }

    fn parts(text: &str) -> Option<(&str, Test)> {
        if let Some(key) = text.strip_prefix('!') {
            return Some((key.trim(), Test::DoesNotExist));
        }
        if let Some((key, value)) = text.split_once("!=") {
            return Some((key.trim(), Test::NotIn(vec![word(value)?])));
        }
        if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
            return Some((key.trim(), Test::In(vec![word(value)?])));
        }
        let Some((key, rest)) = text.split_once(char::is_whitespace) else {
            return Some((text, Test::Exists));
        };
        let rest = rest.trim();
        match rest.strip_prefix("notin") {
            Some(set) => Some((key, Test::NotIn(values(set)?))),
            None => Some((key, Test::In(values(rest.strip_prefix("in")?)?))),
        }
    }

    fn matches(&self, labels: &[String]) -> bool {
        let value = labels.iter().find_map(|label| self.key.value(label));
        match &self.test {
            Test::In(values) => value.is_some_and(|value| values.iter().any(|one| one == value)),
            Test::NotIn(values) => value.is_none_or(|value| !values.iter().any(|one| one == value)),
            Test::Exists => value.is_some(),
            Test::DoesNotExist => value.is_none(),
        }
    }
}

fn values(set: &str) -> Option<Vec<String>> {
    set.trim().strip_prefix('(')?.strip_suffix(')')?.split(',').map(word).collect()
}

/// Parses a label's value. It may be empty.
fn word(text: &str) -> Option<String> {
    let text = text.trim();
    let is_part = |char: char| char.is_ascii_alphanumeric() || "-_.".contains(char);
    text.chars().all(is_part).then(|| text.to_owned())
}

impl Key {
    fn parse(text: &str) -> Option<Self> {
        let (source, name) = match text.split_once(':') {
            Some(("any", name)) => (None, name),
            Some((source, name)) => (Some(source.to_owned()), name),
            None => (None, text),
        };
        let is_part = |char: char| char.is_ascii_alphanumeric() || "-_./".contains(char);
        (!name.is_empty() && name.chars().all(is_part)).then(|| Self { source, name: name.to_owned() })
    }

    /// The label's value, if the label has this key.
    fn value<'a>(&self, label: &'a str) -> Option<&'a str> {
        let (source, rest) = label.split_once(':')?;
        let (name, value) = rest.split_once('=').unwrap_or((rest, ""));
        let matches = name == self.name && self.source.as_deref().is_none_or(|wanted| wanted == source);
        matches.then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors() {
        let labels = ["k8s:app=web", "k8s:app.kubernetes.io/name=shop", "k8s:debug=", "reserved:world"]
            .map(ToOwned::to_owned);
        for (text, matches) in [
            ("app=web", true),
            ("app==web", true),
            (" app = web , debug ", true),
            ("app=db", false),
            ("app!=web", false),
            ("app!=db", true),
            ("tier!=db", true),
            ("k8s:app=web", true),
            ("any:app=web", true),
            ("container:app=web", false),
            ("app.kubernetes.io/name in (cart, shop)", true),
            ("k8s:app.kubernetes.io/name in (cart,till)", false),
            ("app notin (web)", false),
            ("tier notin (web)", true),
            ("app", true),
            ("!app", false),
            ("!tier", true),
            ("tier", false),
            ("debug=", true),
            ("reserved:world", true),
            ("reserved:host", false),
            ("app in (web, db),tier", false),
        ] {
            assert_eq!(Selector::parse(text).unwrap().matches(&labels), matches, "{text:?}");
        }
    }

    #[test]
    fn no_selectors() {
        for text in [
            "",
            ",",
            "app=web,",
            "=web",
            "!",
            "app in",
            "app in web",
            "app of (web)",
            "a b",
            "app=(web)",
            "k8s:",
        ] {
            assert!(Selector::parse(text).is_err(), "{text:?}");
        }
    }
}
