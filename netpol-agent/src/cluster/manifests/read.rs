//! One file's documents to objects.

use std::sync::Arc;

use super::{
    DuplicateObject, ManifestError, ManifestFile, ManifestNote, Manifests, Origin, WordForBoolean,
    workloads::WrittenWorkload,
};
use crate::{
    cluster::{
        Object,
        api::{self, Invalid, PodTemplate, workload_kind},
        yaml::{self, Value, Yaml},
    },
    model::{ApiKind, FieldPath, Step},
};

/// Reads a file into the manifests.
pub(super) fn source(source: &ManifestFile, manifests: &mut Manifests) {
    let mut reader = Reader { file: &source.name, manifests, has_object: false, untyped: Vec::new() };
    let text = match std::str::from_utf8(&source.bytes) {
        Ok(text) => text,
        Err(error) => {
            let before = source.bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
            let line = u32::try_from(line).unwrap_or(u32::MAX);
            let reason = "not UTF-8 text: save the file as UTF-8".to_owned();
            return reader.fail(line, None, FieldPath::default(), reason);
        }
    };
    let is_meant = !source.is_found || mentions_object(text);
    for document in yaml::documents(text) {
        match document {
            Ok(document) => reader.document(document),
            Err(error) if is_meant => reader.fail(error.line, None, FieldPath::default(), error.to_string()),
            Err(error) => reader.note(error.line, format!("no Kubernetes object, and {error}")),
        }
    }
    reader.finish();
}

/// Whether any line looks like one of a Kubernetes object.
fn mentions_object(text: &str) -> bool {
    let keys = ["apiVersion:", "kind:", "\"apiVersion\"", "\"kind\""];
    let starts = |line: &str| {
        let line = line.trim_start_matches(['-', ' ', '\t', '{', '[']);
        keys.iter().any(|key| line.starts_with(key))
    };
    text.lines().any(starts)
}

struct Reader<'a> {
    file: &'a Arc<str>,
    manifests: &'a mut Manifests,
    /// Whether any document was an object of some kind.
    has_object: bool,
    /// The lines of documents that are no objects.
    untyped: Vec<u32>,
}

/// What the API calls the type of an object.
#[derive(Clone)]
struct Type {
    api_version: String,
    kind: String,
}

impl Reader<'_> {
    /// Reads an object, or a list of them. Anything else is passed over: values and settings lie beside manifests.
    fn document(&mut self, document: Yaml) {
        if let Value::List(items) = document.value {
            if items.iter().all(is_object) && !items.is_empty() {
                items.into_iter().for_each(|item| self.item(item, None));
            } else {
                self.untyped.push(document.line);
            }
        } else if is_object(&document) || lacks_half(&document) {
            self.item(document, None);
        } else {
            self.untyped.push(document.line);
        }
    }

    /// Reads what has to be an object. One in a list may leave out the type that the list's own type implies.
    fn item(&mut self, document: Yaml, implied: Option<&Type>) {
        self.has_object = true;
        let written = |key: &str| document.get(key).and_then(Yaml::as_str).map(str::to_owned);
        let api_version = written("apiVersion").or_else(|| implied.map(|t| t.api_version.clone()));
        let kind = written("kind").or_else(|| implied.map(|t| t.kind.clone()));
        let (Some(api_version), Some(kind)) = (api_version, kind) else {
            let reason = "not a Kubernetes object: it needs `apiVersion` and `kind`".to_owned();
            return self.fail(document.line, None, FieldPath::default(), reason);
        };
        let type_ = Type { api_version, kind };
        match type_.kind.strip_suffix("List") {
            Some(item) if document.get("items").is_some() => self.list(document, &type_, item),
            _ => self.object(document, &type_),
        }
    }

    /// Documents without a type are a note each, unless the whole file is no manifest.
    fn finish(mut self) {
        let lines = std::mem::take(&mut self.untyped);
        if self.has_object {
            for line in lines {
                self.note(line, "not a Kubernetes object: it has no `apiVersion` and `kind`".to_owned());
            }
        } else if let Some(first) = lines.first() {
            self.note(*first, "no Kubernetes object in this file".to_owned());
        }
    }

    fn list(&mut self, list: Yaml, type_: &Type, item: &str) {
        let implied = Type { api_version: type_.api_version.clone(), kind: item.to_owned() };
        let implied = (!item.is_empty()).then_some(&implied);
        let line = list.line;
        let Value::Map(entries) = list.value else { return };
        for (key, value) in entries {
            match value.value {
                _ if key.text != "items" => {}
                Value::List(items) => items.into_iter().for_each(|item| self.item(item, implied)),
                Value::Null => {}
                _ => {
                    let reason = "must be a list of objects".to_owned();
                    self.fail(line, Some(type_.kind.clone()), FieldPath::parse("items"), reason);
                }
            }
        }
    }

    fn object(&mut self, mut document: Yaml, type_: &Type) {
        if let Some(kind) = workload_kind(&type_.api_version, &type_.kind) {
            return self.workload(document, kind);
        }
        let Some(api) = ApiKind::find(&type_.api_version, &type_.kind) else {
            return self.other(&document, type_);
        };
        let mut object = api::object(api.kind, &document);
        while let Err(error) = &object
            && (!api.kind.is_policy() || !is_in_spec(&error.path))
            && self.take_word(&mut document, &error.path, &type_.kind)
        {
            object = api::object(api.kind, &document);
        }
        let object = object.unwrap_or_else(|error| Err(Invalid { path: error.path, reason: error.reason }));
        match object {
            Ok(object) => self.add(object, document),
            Err(Invalid { path, reason }) => {
                let line = document.line_of(&path);
                self.fail(line, Some(name(&document, &type_.kind)), path, reason);
            }
        }
    }

    /// Makes a string of a word that is a boolean, where a string is needed; whether there was such a word.
    fn take_word(&mut self, document: &mut Yaml, path: &FieldPath, kind: &str) -> bool {
        let (line, object) = (document.line_of(path), name(document, kind));
        let Some(node) = document.get_mut(path) else { return false };
        let Value::OldBool(_, word) = &node.value else { return false };
        let word = word.clone();
        node.value = Value::String(word.clone());
        let file = self.file.clone();
        self.manifests.booleans.push(WordForBoolean { object, file, line, path: path.clone(), word });
        true
    }

    fn workload(&mut self, mut document: Yaml, kind: &'static str) {
        let mut template = api::pod_template(kind, &document);
        while let Err(error) = &template
            && self.take_word(&mut document, &error.path, kind)
        {
            template = api::pod_template(kind, &document);
        }
        let document = &document;
        let template =
            template.unwrap_or_else(|error| Err(Invalid { path: error.path, reason: error.reason }));
        match template {
            Ok(Some(template)) => self.add_workload(template, document.line),
            Ok(None) => self
                .note(document.line, format!("{} is not read: it has no pod template", name(document, kind))),
            Err(Invalid { path, reason }) => {
                let line = document.line_of(&path);
                self.fail(line, Some(name(document, kind)), path, reason);
            }
        }
    }

    fn add_workload(&mut self, template: PodTemplate, line: u32) {
        let origin = Origin { file: self.file.clone(), line, document: None };
        let key = (template.pod.namespace().clone(), template.workload.clone());
        let workloads = &mut self.manifests.workloads;
        match self.manifests.workload_places.get(&key).and_then(|&at| workloads.get_mut(at)) {
            Some(known) => {
                let duplicate = DuplicateObject {
                    object: format!("{} {}", template.workload.kind, template.pod.key),
                    file: self.file.clone(),
                    line,
                    earlier: format!("{}:{}", known.origin.file, known.origin.line),
                    is_same: known.template == template,
                };
                *known = WrittenWorkload { template, origin };
                self.manifests.duplicates.push(duplicate);
            }
            None => {
                self.manifests.workload_places.insert(key, workloads.len());
                workloads.push(WrittenWorkload { template, origin });
            }
        }
    }

    /// A kind that is not read: of no interest, unless it is a policy of a version that is not known.
    fn other(&mut self, document: &Yaml, type_: &Type) {
        let Some(api) = ApiKind::find_in_group(&type_.api_version, &type_.kind) else {
            let text =
                format!("{} is not read: it is no input of network policy", name(document, &type_.kind));
            return self.note(document.line, text);
        };
        let right: Vec<String> = api.versions.iter().map(|version| api.api_version(version)).collect();
        let reason = format!("version {:?} is not known: write {}", type_.api_version, right.join(" or "));
        self.fail(document.line, Some(name(document, &type_.kind)), FieldPath::parse("apiVersion"), reason);
    }

    fn add(&mut self, object: Object, document: Yaml) {
        let reference = object.reference();
        let line = document.line;
        let is_kept =
            matches!(object, Object::NetworkPolicy(_) | Object::ClusterPolicy(_) | Object::Namespace(_));
        let document = is_kept.then_some(document);
        let origin = Origin { file: self.file.clone(), line, document: document.map(Arc::new) };
        let first = self.manifests.origins.insert(reference.clone(), origin);
        match self.manifests.places.get(&reference).and_then(|&at| self.manifests.objects.get_mut(at)) {
            Some(earlier) => {
                let duplicate = DuplicateObject {
                    object: reference.to_string(),
                    file: self.file.clone(),
                    line,
                    earlier: first.map(|first| format!("{}:{}", first.file, first.line)).unwrap_or_default(),
                    is_same: *earlier == object,
                };
                *earlier = object;
                self.manifests.duplicates.push(duplicate);
            }
            None => {
                self.manifests.places.insert(reference, self.manifests.objects.len());
                self.manifests.objects.push(object);
            }
        }
    }

    fn fail(&mut self, line: u32, object: Option<String>, path: FieldPath, reason: String) {
        self.manifests.errors.push(ManifestError { file: self.file.clone(), line, object, path, reason });
    }

    fn note(&mut self, line: u32, text: String) {
        self.manifests.notes.push(ManifestNote { file: self.file.clone(), line, text });
    }
}

/// Whether a field is in the spec: of a policy that decides what it means, and a guess may be wrong.
fn is_in_spec(path: &FieldPath) -> bool {
    path.0.first().is_some_and(|step| matches!(step, Step::Key(key) if **key == *"spec"))
}

/// Whether a document says what it is.
fn is_object(document: &Yaml) -> bool {
    let has = |key: &str| document.get(key).and_then(Yaml::as_str).is_some();
    has("apiVersion") && has("kind")
}

/// Whether a document is an object of which one half of the type is missing. A chart has an `apiVersion`, too, and many
/// settings have a `kind`.
fn lacks_half(document: &Yaml) -> bool {
    let word = |key: &str| document.get(key).and_then(Yaml::as_str);
    match (word("apiVersion"), word("kind")) {
        (None, Some(kind)) => KINDS.contains(&kind),
        (Some(_), None) => document.get("metadata").is_some() || document.get("spec").is_some(),
        _ => false,
    }
}

/// The kinds that are read, or hold such.
const KINDS: [&str; 17] = [
    "Pod",
    "Namespace",
    "Node",
    "Service",
    "EndpointSlice",
    "NetworkPolicy",
    "ClusterNetworkPolicy",
    "AdminNetworkPolicy",
    "BaselineAdminNetworkPolicy",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "ReplicationController",
    "Job",
    "CronJob",
    "List",
];

/// Kind, namespace and name, as far as they are written.
fn name(document: &Yaml, kind: &str) -> String {
    let written =
        |key: &str| document.get("metadata").and_then(|metadata| metadata.get(key)).and_then(Yaml::as_str);
    match (written("namespace"), written("name")) {
        (Some(namespace), Some(name)) => format!("{kind} {namespace}/{name}"),
        (None, Some(name)) => format!("{kind} {name}"),
        _ => kind.to_owned(),
    }
}
