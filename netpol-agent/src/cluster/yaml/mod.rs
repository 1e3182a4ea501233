//! YAML (and so JSON) as a tree that knows its lines. Scalars mean what they mean to `kubectl`: the core schema of YAML 1.2,
//! and the booleans of YAML 1.1.
//!
//! Kubernetes reads a stream of documents; one that is broken must not hide the others, and an error is of use only
//! with its line. So each document is parsed by itself into a [`Yaml`], and objects are deserialised from that.

mod de;
mod json;
mod parse;
mod scalar;

pub use de::DeError;
pub use parse::{Document, SyntaxError, documents};

use crate::model::{FieldPath, Step};

/// A node of a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Yaml {
    /// Its first line in the file, from 1.
    pub line: u32,
    /// What it is.
    pub value: Value,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing at all.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A boolean of YAML 1.1, with its text: `y`, `yes`, `on`, `n`, `no` and `off`.
    OldBool(bool, String),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A string.
    String(String),
    /// A list.
    List(Vec<Yaml>),
    /// A mapping, in the order in which it is written. No key occurs twice.
    Map(Vec<(Key, Yaml)>),
}

/// The key of a mapping's entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// Its line in the file, from 1.
    pub line: u32,
    /// What it says.
    pub text: String,
}

impl Yaml {
    /// The value of a key, where this is a mapping that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|(_, value)| value)
    }

    /// A field.
    pub fn get_mut(&mut self, path: &FieldPath) -> Option<&mut Self> {
        let mut node = self;
        for step in &path.0 {
            node = match (step, &mut node.value) {
                (Step::Key(key), Value::Map(entries)) => {
                    entries.iter_mut().find(|(own, _)| *own.text == **key).map(|(_, value)| value)?
                }
                (Step::Index(index), Value::List(items)) => items.get_mut(*index)?,
                _ => return None,
            };
        }
        Some(node)
    }

    /// The string, where this is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The line of a field, or of the innermost of its parents that is there.
    #[must_use]
    pub fn line_of(&self, path: &FieldPath) -> u32 {
        self.walk(path).0
    }

    /// Whether a field is there.
    #[must_use]
    pub fn has(&self, path: &FieldPath) -> bool {
        self.walk(path).1
    }

    /// The line of the last step that could be taken, and whether that was the last of all.
    fn walk(&self, path: &FieldPath) -> (u32, bool) {
        let mut line = self.line;
        let mut node = self;
        for step in &path.0 {
            let next = match (step, &node.value) {
                (Step::Key(key), _) => node.entry(key).map(|(key, value)| (key.line, value)),
                (Step::Index(index), Value::List(items)) => items.get(*index).map(|item| (item.line, item)),
                (Step::Index(_), _) => None,
            };
            let Some((at, value)) = next else { return (line, false) };
            line = at;
            node = value;
        }
        (line, true)
    }

    fn entry(&self, key: &str) -> Option<(&Key, &Self)> {
        match &self.value {
            Value::Map(entries) => {
                entries.iter().find(|(candidate, _)| candidate.text == key).map(|(key, value)| (key, value))
            }
            _ => None,
        }
    }
}
