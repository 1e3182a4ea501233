//! The API's envelopes around objects, with the objects left as text until each is read by itself.

use std::{borrow::Cow, collections::BTreeMap};

use kube::core::Status;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Trouble, resource::Resource};
use crate::{
    cluster::{Object, ObjectRef, wire},
    model::ObjectKind,
};

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Page<'a> {
    #[serde(default)]
    pub(super) metadata: ListHead,
    #[serde(borrow, default)]
    pub(super) items: Option<Vec<&'a RawValue>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ListHead {
    pub(super) resource_version: String,
    #[serde(rename = "continue")]
    pub(super) next: Option<String>,
}

/// What a version of an API group has.
#[derive(Debug, Deserialize)]
pub(super) struct Group {
    resources: Vec<GroupResource>,
}

#[derive(Debug, Deserialize)]
struct GroupResource {
    name: String,
}

impl Group {
    pub(super) fn has(&self, kind: ObjectKind) -> bool {
        self.resources.iter().any(|resource| resource.name == kind.plural())
    }
}

/// A line of a watch.
#[derive(Debug)]
pub(super) enum Event<'a> {
    /// An object is there, or has changed.
    Applied(Head, &'a RawValue),
    /// An object is gone.
    Deleted(Head),
    /// Nothing has happened up to a version.
    Bookmark(Head),
    /// The server ends the watch.
    Failed(Status),
}

#[derive(Deserialize)]
struct WireEvent<'a> {
    #[serde(rename = "type", borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// An object's metadata, as far as the watch itself needs it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Head {
    name: String,
    namespace: Option<String>,
    pub(super) resource_version: String,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Headed {
    metadata: Head,
}

impl<'a> Event<'a> {
    pub(super) fn read(line: &'a [u8]) -> Result<Self, Trouble> {
        let malformed = |error: serde_json::Error| Trouble::Malformed(format!("a watch event: {error}"));
        let event: WireEvent<'a> = serde_json::from_slice(line).map_err(malformed)?;
        if event.name == "ERROR" {
            return Ok(Self::Failed(serde_json::from_str(event.object.get()).map_err(malformed)?));
        }
        let head = Head::of(event.object)?;
        match &*event.name {
            "ADDED" | "MODIFIED" => Ok(Self::Applied(head, event.object)),
            "DELETED" => Ok(Self::Deleted(head)),
            "BOOKMARK" => Ok(Self::Bookmark(head)),
            other => Err(Trouble::Malformed(format!("a watch event of type {other:?}"))),
        }
    }
}

impl Head {
    pub(super) fn of(object: &RawValue) -> Result<Self, Trouble> {
        let headed: Result<Headed, _> = serde_json::from_str(object.get());
        headed
            .map(|headed| headed.metadata)
            .map_err(|error| Trouble::Malformed(format!("an object: {error}")))
    }

    /// Whether this bookmark says that all objects have been sent.
    pub(super) fn ends_list(&self) -> bool {
        let end = self.annotations.as_ref().and_then(|all| all.get("k8s.io/initial-events-end"));
        end.is_some_and(|value| value == "true")
    }

    pub(super) fn reference(&self, resource: Resource) -> ObjectRef {
        ObjectRef::new(resource.kind, self.namespace.as_deref(), &self.name)
    }
}

/// Reads and checks an object, of which all but what is used is dropped.
pub(super) fn object(resource: Resource, json: &RawValue) -> Result<Object, String> {
    let mut deserializer = serde_json::Deserializer::from_str(json.get());
    match wire::object(resource.kind, &mut deserializer) {
        Ok(Ok(object)) => Ok(object),
        Ok(Err(invalid)) => Err(invalid.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
