//! The API's envelopes: list pages, watch events and metadata. The objects in them stay text until each is parsed by
//! itself.
//!
//! So one object that can't be parsed does not make the whole page or event unreadable.

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

/// The resources of one version of an API group.
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
    /// An object was added or changed.
    Applied(PartialObjectMeta, &'a RawValue),
    /// An object was deleted.
    Deleted(PartialObjectMeta),
    /// A bookmark: all changes up to this resource version have been sent.
    Bookmark(PartialObjectMeta),
    /// The server ends the watch with an error.
    Failed(Status),
}

#[derive(Deserialize)]
struct RawEvent<'a> {
    #[serde(rename = "type", borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// The part of an object's metadata that the watch itself needs.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PartialObjectMeta {
    name: String,
    namespace: Option<String>,
    pub(super) resource_version: String,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct MetadataOnly {
    metadata: PartialObjectMeta,
}

impl<'a> RawWatchEvent<'a> {
    pub(super) fn read(line: &'a [u8]) -> Result<Self, WatchError> {
        let malformed = |error: serde_json::Error| WatchError::Malformed(format!("a watch event: {error}"));
        let event: RawEvent<'a> = serde_json::from_slice(line).map_err(malformed)?;
        if event.name == "ERROR" {
            return Ok(Self::Failed(serde_json::from_str(event.object.get()).map_err(malformed)?));
        }
        let meta = PartialObjectMeta::of(event.object)?;
        match &*event.name {
            "ADDED" | "MODIFIED" => Ok(Self::Applied(meta, event.object)),
            "DELETED" => Ok(Self::Deleted(meta)),
            "BOOKMARK" => Ok(Self::Bookmark(meta)),
            other => Err(WatchError::Malformed(format!("a watch event of type {other:?}"))),
        }
    }
}

impl PartialObjectMeta {
    pub(super) fn of(object: &RawValue) -> Result<Self, WatchError> {
        let object: Result<MetadataOnly, _> = serde_json::from_str(object.get());
        object
            .map(|object| object.metadata)
            .map_err(|error| WatchError::Malformed(format!("an object: {error}")))
    }

    /// Returns true if this bookmark marks the end of the initial objects.
    pub(super) fn ends_list(&self) -> bool {
        let end = self.annotations.as_ref().and_then(|all| all.get("k8s.io/initial-events-end"));
        end.is_some_and(|value| value == "true")
    }

    pub(super) fn reference(&self, resource: &'static ApiKind) -> ObjectRef {
        ObjectRef::new(resource.kind, self.namespace.as_deref(), &self.name)
    }
}

/// Parses and checks an object. Fields that the agent does not use are dropped.
pub(super) fn object(resource: &'static ApiKind, json: &RawValue) -> Result<Object, String> {
    let mut deserializer = serde_json::Deserializer::from_str(json.get());
    match api::object(resource.kind, &mut deserializer) {
        Ok(Ok(object)) => Ok(object),
        Ok(Err(invalid)) => Err(invalid.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
