//! An index of label selectors: it finds the selectors that match a set of labels, without trying all of them.

use std::collections::HashMap;

use crate::model::{LabelSelector, Labels, Values};

/// A map from label selectors to values.
///
/// Most selectors require some label, and most labels are required by few selectors. So each selector is stored under
/// one label that it requires (its anchor). A lookup tries only the selectors whose anchor is among the labels.
#[derive(Debug)]
pub(super) struct SelectorIndex<T> {
    by_key: HashMap<Box<str>, Bucket<T>>,
    /// The selectors that do not require any label.
    rest: Vec<Entry<T>>,
}

#[derive(Debug)]
struct Bucket<T> {
    by_value: HashMap<Box<str>, Vec<Entry<T>>>,
    any_value: Vec<Entry<T>>,
}

#[derive(Debug)]
struct Entry<T> {
    selector: LabelSelector,
    value: T,
}

/// The label under which a selector is stored.
enum Anchor<'a> {
    Pair(&'a str, &'a str),
    Key(&'a str),
    None,
}

impl<T> Default for SelectorIndex<T> {
    fn default() -> Self {
        Self { by_key: HashMap::new(), rest: Vec::new() }
    }
}

impl<T> Default for Bucket<T> {
    fn default() -> Self {
        Self { by_value: HashMap::new(), any_value: Vec::new() }
    }
}

impl<T: PartialEq> SelectorIndex<T> {
    pub(super) fn insert(&mut self, selector: LabelSelector, value: T) {
        let entries = match anchor(&selector) {
            Anchor::Pair(key, value) => {
                let bucket = self.by_key.entry(key.into()).or_default();
                bucket.by_value.entry(value.into()).or_default()
            }
            Anchor::Key(key) => &mut self.by_key.entry(key.into()).or_default().any_value,
            Anchor::None => &mut self.rest,
        };
        entries.push(Entry { selector, value });
    }

    /// Removes a value. The selector must be the one that it was inserted with.
    pub(super) fn remove(&mut self, selector: &LabelSelector, value: &T) {
        match anchor(selector) {
            Anchor::None => drop_value(&mut self.rest, value),
            Anchor::Key(key) => {
                let Some(bucket) = self.by_key.get_mut(key) else { return };
                drop_value(&mut bucket.any_value, value);
                self.remove_if_empty(key);
            }
            Anchor::Pair(key, label) => {
                let Some(bucket) = self.by_key.get_mut(key) else { return };
                if let Some(entries) = bucket.by_value.get_mut(label) {
                    drop_value(entries, value);
                    if entries.is_empty() {
                        bucket.by_value.remove(label);
                    }
                }
                self.remove_if_empty(key);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_key.is_empty() && self.rest.is_empty()
    }

    /// The values whose selectors match, in no particular order.
    pub(super) fn matching<'a>(&'a self, labels: &'a Labels) -> impl Iterator<Item = &'a T> {
        let anchored =
            labels.iter().filter_map(|(key, value)| self.by_key.get(key).map(|bucket| (bucket, value)));
        let anchored = anchored.flat_map(|(bucket, value)| {
            bucket.by_value.get(value).into_iter().flatten().chain(&bucket.any_value)
        });
        anchored.chain(&self.rest).filter(|entry| entry.selector.matches(labels)).map(|entry| &entry.value)
    }

    fn remove_if_empty(&mut self, key: &str) {
        if self
            .by_key
            .get(key)
            .is_some_and(|bucket| bucket.by_value.is_empty() && bucket.any_value.is_empty())
        {
            self.by_key.remove(key);
        }
    }
}

fn drop_value<T: PartialEq>(entries: &mut Vec<Entry<T>>, value: &T) {
    if let Some(at) = entries.iter().position(|entry| entry.value == *value) {
        entries.swap_remove(at);
    }
}

fn anchor(selector: &LabelSelector) -> Anchor<'_> {
    let mut anchor = Anchor::None;
    for requirement in selector.requirements() {
        match &requirement.values {
            Values::In(values) => match &**values {
                [value] => return Anchor::Pair(&requirement.key, value),
                _ => anchor = Anchor::Key(&requirement.key),
            },
            Values::Exists => anchor = Anchor::Key(&requirement.key),
            Values::NotIn(_) | Values::DoesNotExist => {}
        }
    }
    anchor
}
