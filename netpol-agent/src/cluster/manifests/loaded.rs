//! What came of loading manifests.

use std::{collections::HashMap, fmt, sync::Arc};

use super::workloads::WrittenWorkload;
use crate::{
    cluster::{Index, Object, ObjectRef, Snapshot, yaml::Yaml},
    model::{FieldPath, Workload},
};

/// What came of loading manifests.
#[derive(Debug, Default)]
pub struct Manifests {
    /// The objects, in the order in which they are written. No name occurs twice.
    pub objects: Vec<Object>,
    /// What could not be loaded.
    pub errors: Vec<ManifestError>,
    /// What was passed over, being no input of network policy.
    pub notes: Vec<ManifestNote>,
    /// Objects that were given more than once.
    pub duplicates: Vec<DuplicateObject>,
    /// Words that `kubectl` reads as booleans, in objects that are read all the same.
    pub booleans: Vec<WordForBoolean>,
    /// Whether there may be more objects than these.
    pub completeness: Completeness,
    /// The workloads, until their pods are added.
    pub(super) workloads: Vec<WrittenWorkload>,
    /// Where in `workloads` each is, by its namespace.
    pub(super) workload_places: HashMap<(Arc<str>, Workload), usize>,
    /// Where each object is written.
    pub(super) origins: HashMap<ObjectRef, Origin>,
    /// Where in `objects` each is.
    pub(super) places: HashMap<ObjectRef, usize>,
}

/// Whether all objects of the cluster are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Completeness {
    /// Files: one repository of many. What is not there may be elsewhere.
    #[default]
    Partial,
    /// A cluster: what is not there does not exist.
    Whole,
}

/// Where an object is written.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The file.
    pub file: Arc<str>,
    /// Its text, kept for policies, whose fields are pointed at.
    pub(super) document: Option<Arc<Yaml>>,
    /// The first line.
    pub line: u32,
}

/// A document, object or field that could not be loaded, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ManifestError {
    /// The file.
    pub file: Arc<str>,
    /// The line, from 1; 0 where the object is in no file.
    pub line: u32,
    /// The object's kind and name, once they could be read.
    pub object: Option<String>,
    /// The field; empty where it is about the whole.
    pub path: FieldPath,
    /// What is wrong, and what would be right.
    pub reason: String,
}

/// Something that was passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestNote {
    /// The file.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// What it is.
    pub text: String,
}

/// An object that was given twice. The later one counts, as for `kubectl apply`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuplicateObject {
    /// The object, such as `Pod shop/web`.
    pub object: String,
    /// The file of the later one.
    pub file: Arc<str>,
    /// Its line, from 1.
    pub line: u32,
    /// Where the earlier one is, as `file:line`.
    pub earlier: String,
    /// Whether both say the same.
    pub is_same: bool,
}

/// An unquoted word such as `y` where a string is needed. In anything but a policy it is taken for the word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordForBoolean {
    /// The object, such as `Pod shop/web`.
    pub object: String,
    /// The file.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// The field.
    pub path: FieldPath,
    /// The word.
    pub word: String,
}

impl Manifests {
    /// A snapshot of the objects alone.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        let mut index = Index::new();
        index.sync(self.objects.iter().cloned());
        index.publish()
    }

    /// Where an object is written.
    #[must_use]
    pub fn origin(&self, object: &ObjectRef) -> Option<&Origin> {
        self.origins.get(object)
    }
}

impl Origin {
    /// What is written, of policies.
    pub(crate) fn document(&self) -> Option<&Yaml> {
        self.document.as_deref()
    }

    /// Whether a field is written, be it empty.
    #[must_use]
    pub fn has(&self, path: &FieldPath) -> bool {
        self.document.as_ref().is_some_and(|document| document.has(path))
    }

    /// The line of a field, or of what is nearest to it.
    #[must_use]
    pub fn line_of(&self, path: &FieldPath) -> u32 {
        self.document.as_ref().map_or(self.line, |document| document.line_of(path))
    }
}

/// `file:line: object: field: reason`.
impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: ", self.file)?,
            line => write!(f, "{}:{line}: ", self.file)?,
        }
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        if !self.path.0.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.reason)
    }
}

/// `file:line: object: field: …`.
impl fmt::Display for WordForBoolean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, file, line, path, word } = self;
        write!(
            f,
            "{file}:{line}: {object}: {path}: put {word} in quotes: kubectl reads a boolean; taken for the word here"
        )
    }
}

/// `file:line: object is given twice …`.
impl fmt::Display for DuplicateObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, file, line, earlier, is_same } = self;
        let what = if *is_same { "says the same as" } else { "replaces" };
        write!(f, "{file}:{line}: {object} is given twice: this one {what} the one in {earlier}")
    }
}

impl fmt::Display for ManifestNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.text)
    }
}
