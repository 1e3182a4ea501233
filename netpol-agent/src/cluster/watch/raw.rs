//! The API's envelopes around objects, with the objects left as text until each is read by itself.

use std::{borrow::Cow, collections::BTreeMap};

use kube::core::Status;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::WatchError;
use crate::{
    cluster::{Object, ObjectRef, api},
    model::{ApiKind, ObjectKind},
};

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Page<'a> {
    #[serde(default)]
    pub(super) metadata: ListMeta,
    #[serde(borrow, default)]
    pub(super) items: Option<Vec<&'a RawValue>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ListMeta {
    pub(super) resource_version: String,
    #[serde(rename = "continue")]
    pub(super) next: Option<String>,
}

/// What a version of an API group has.
#[derive(Debug, Deserialize)]
pub(super) struct ApiGroup {
    resources: Vec<GroupResource>,
}

#[derive(Debug, Deserialize)]
struct GroupResource {
    name: String,
}

impl ApiGroup {
    pub(super) fn has(&self, kind: ObjectKind) -> bool {
        self.resources.iter().any(|resource| resource.name == kind.plural())
    }
}

/// A line of a watch.
#[derive(Debug)]
pub(super) enum RawWatchEvent<'a> {
    /// An object is there, or has changed.
    Applied(PartialObjectMeta, &'a RawValue),
    /// An object is gone.
    Deleted(PartialObjectMeta),
    /// Nothing has happened up to a version.
    Bookmark(PartialObjectMeta),
    /// The server ends the watch.
    Failed(Status),
}

#[derive(Deserialize)]
struct RawEvent<'a> {
    #[serde(rename = "type", borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// An object's metadata, as far as the watch itself needs it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PartialObjectMeta {
    name: String,
    namespace: Option<String>,
    pub(super) resource_version: String,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Headed {
    metadata: PartialObjectMeta,
}

impl<'a> RawWatchEvent<'a> {
    pub(super) fn read(line: &'a [u8]) -> Result<Self, WatchError> {
        let malformed = |error: serde_json::Error| WatchError::Malformed(format!("a watch event: {error}"));
        let event: RawEvent<'a> = serde_json::from_slice(line).map_err(malformed)?;
        if event.name == "ERROR" {
            return Ok(Self::Failed(serde_json::from_str(event.object.get()).map_err(malformed)?));
        }
        let head = PartialObjectMeta::of(event.object)?;
        match &*event.name {
            "ADDED" | "MODIFIED" => Ok(Self::Applied(head, event.object)),
            "DELETED" => Ok(Self::Deleted(head)),
            "BOOKMARK" => Ok(Self::Bookmark(head)),
            other => Err(WatchError::Malformed(format!("a watch event of type {other:?}"))),
        }
    }
}

impl PartialObjectMeta {
    pub(super) fn of(object: &RawValue) -> Result<Self, WatchError> {
        let headed: Result<Headed, _> = serde_json::from_str(object.get());
        headed
            .map(|headed| headed.metadata)
            .map_err(|error| WatchError::Malformed(format!("an object: {error}")))
    }

    /// Whether this bookmark says that all objects have been sent.
    pub(super) fn ends_list(&self) -> bool {
        let end = self.annotations.as_ref().and_then(|all| all.get("k8s.io/initial-events-end"));
        end.is_some_and(|value| value == "true")
    }

    pub(super) fn reference(&self, resource: &'static ApiKind) -> ObjectRef {
        ObjectRef::new(resource.kind, self.namespace.as_deref(), &self.name)
    }
}

/// Reads and checks an object, of which all but what is used is dropped.
pub(super) fn object(resource: &'static ApiKind, json: &RawValue) -> Result<Object, String> {
    let mut deserializer = serde_json::Deserializer::from_str(json.get());
    match api::object(resource.kind, &mut deserializer) {
        Ok(Ok(object)) => Ok(object),
        Ok(Err(invalid)) => Err(invalid.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
