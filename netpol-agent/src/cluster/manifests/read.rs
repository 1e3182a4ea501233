//! One file's documents to objects.

use std::sync::Arc;

use super::{ManifestError, ManifestFile, ManifestNote, Manifests, Origin};
use crate::{
    cluster::{
        Object,
        api::{self, Invalid},
        yaml::{self, Value, Yaml},
    },
    model::{ApiKind, FieldPath},
};

/// Reads a file into the manifests.
pub(super) fn source(source: &ManifestFile, manifests: &mut Manifests) {
    let text = match std::str::from_utf8(&source.bytes) {
        Ok(text) => text,
        Err(error) => {
            let before = source.bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
            let line = u32::try_from(line).unwrap_or(u32::MAX);
            let reason = "not UTF-8 text: save the file as UTF-8".to_owned();
            return Reader { file: &source.name, manifests }.fail(line, None, FieldPath::default(), reason);
        }
    };
    let mut reader = Reader { file: &source.name, manifests };
    for document in yaml::documents(text) {
        match document {
            Ok(document) => reader.document(document, None),
            Err(error) => reader.fail(error.line, None, FieldPath::default(), error.to_string()),
        }
    }
}

struct Reader<'a> {
    file: &'a Arc<str>,
    manifests: &'a mut Manifests,
}

/// What the API calls the type of an object.
#[derive(Clone)]
struct Type {
    api_version: String,
    kind: String,
}

impl Reader<'_> {
    /// Reads an object, or a list of them, whose items may leave out the type that the list's own type implies.
    fn document(&mut self, document: Yaml, implied: Option<&Type>) {
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

    fn list(&mut self, list: Yaml, type_: &Type, item: &str) {
        let implied = Type { api_version: type_.api_version.clone(), kind: item.to_owned() };
        let implied = (!item.is_empty()).then_some(&implied);
        let line = list.line;
        let Value::Map(entries) = list.value else { return };
        for (key, value) in entries {
            match value.value {
                _ if key.text != "items" => {}
                Value::List(items) => items.into_iter().for_each(|item| self.document(item, implied)),
                Value::Null => {}
                _ => {
                    let reason = "must be a list of objects".to_owned();
                    self.fail(line, Some(type_.kind.clone()), FieldPath::parse("items"), reason);
                }
            }
        }
    }

    fn object(&mut self, document: Yaml, type_: &Type) {
        let Some(api) = ApiKind::find(&type_.api_version, &type_.kind) else {
            return self.other(&document, type_);
        };
        let object = api::object(api.kind, &document);
        let object = object.unwrap_or_else(|error| Err(Invalid { path: error.path, reason: error.reason }));
        match object {
            Ok(object) => self.add(object, document),
            Err(Invalid { path, reason }) => {
                let line = document.line_of(&path);
                self.fail(line, Some(name(&document, &type_.kind)), path, reason);
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
        let document =
            matches!(object, Object::NetworkPolicy(_) | Object::ClusterPolicy(_)).then_some(document);
        let origin = Origin { file: self.file.clone(), line, document: document.map(Arc::new) };
        if let Some(first) = self.manifests.origins.insert(reference.clone(), origin) {
            let text = format!("{reference} replaces the one in {}:{}", first.file, first.line);
            self.note(line, text);
        }
        match self.manifests.places.get(&reference).and_then(|&at| self.manifests.objects.get_mut(at)) {
            Some(earlier) => *earlier = object,
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
