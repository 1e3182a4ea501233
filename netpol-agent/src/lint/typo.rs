//! Labels that a selector probably means.

use std::fmt;

use crate::{
    declared::distance,
    model::{LabelSelector, Labels, Requirement, Values},
};

/// A label that is there, and that a selector misses by little.
pub(super) struct Typo {
    key: String,
    value: String,
}

impl fmt::Display for Typo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is a label {}={}, which is nearly the same", self.key, self.value)
    }
}

/// The nearest label to one that a selector asks for and nobody has, if it is so near that one of them is a slip of the
/// pen: a letter more, less or otherwise, or the same value under another key.
pub(super) fn find(selector: &LabelSelector, candidates: &[&Labels]) -> Option<Typo> {
    let unmet = |requirement: &&Requirement| !candidates.iter().any(|labels| requirement.matches(labels));
    let wanted =
        selector.requirements().iter().filter(unmet).find_map(|requirement| match &requirement.values {
            Values::In(values) => values.first().map(|value| (&*requirement.key, Some(&**value))),
            Values::Exists => Some((&*requirement.key, None)),
            Values::NotIn(_) | Values::DoesNotExist => None,
        });
    let (key, value) = wanted?;
    let near = |(k, v): (&str, &str)| {
        let of_value = value.map_or(Some(0), |value| slips(value, v));
        let is_same_value = value.is_some_and(|value| value == v && !matches!(v, "" | "true" | "false"));
        let of_key = slips(key, k).or(is_same_value.then_some(3))?;
        Some((of_key + of_value?, k.to_owned(), v.to_owned()))
    };
    let nearest = candidates.iter().flat_map(|labels| labels.iter()).filter_map(near).min();
    nearest.map(|(_, key, value)| Typo { key, value })
}

/// How many slips make one word of the other; `None` where they are two words. The names of two things often differ by a
/// number or a letter: `team-a` and `team-b`, `app1` and `app2`.
fn slips(a: &str, b: &str) -> Option<usize> {
    if a == b {
        return Some(0);
    }
    let shorter = a.chars().count().min(b.chars().count());
    let distance = distance(a, b);
    let sorted = |word: &str| {
        let mut letters: Vec<char> = word.to_lowercase().chars().collect();
        letters.sort_unstable();
        letters
    };
    let is_swapped = sorted(a) == sorted(b) && distance <= 2;
    let is_longer = a.chars().count() != b.chars().count();
    let few = match shorter {
        0..3 => 0,
        3 => usize::from(is_longer),
        4..8 => 1,
        _ => 2,
    };
    let is_slip = (is_swapped || distance <= few) && !is_numbered(a, b);
    is_slip.then_some(distance)
}

/// Whether two words have the same parts but for one that is a number, or short.
fn is_numbered(a: &str, b: &str) -> bool {
    let (a, b) = (parts(a), parts(b));
    let different: Vec<_> = a.iter().zip(&b).filter(|(a, b)| a != b).collect();
    let is_short = |part: &str| part.len() <= 2 || part.bytes().all(|byte| byte.is_ascii_digit());
    a.len() == b.len() && a.len() > 1 && different.iter().all(|(a, b)| is_short(a) && is_short(b))
}

/// The runs of letters and of digits.
fn parts(word: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut kind = None;
    for char in word.chars() {
        let own = if char.is_ascii_digit() { Some(true) } else { char.is_alphabetic().then_some(false) };
        match (own, parts.last_mut()) {
            (None, _) => {}
            (Some(_), Some(part)) if own == kind => part.push(char),
            (Some(_), _) => parts.push(char.to_string()),
        }
        kind = own;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_pen() {
        for (a, b, expected) in [
            ("wbe", "web", true),
            ("shpo", "shop", true),
            ("fronted", "frontend", true),
            ("apii", "api", true),
            ("kube-systm", "kube-system", true),
            ("team-a", "team-b", false),
            ("app1", "app2", false),
            ("web", "db", false),
            ("dev", "dep", false),
            ("ingress-nginx", "shop", false),
            ("kube-system", "kube-public", false),
        ] {
            assert_eq!(slips(a, b).is_some(), expected, "{a} {b}");
        }
    }
}
