//! The line format of a capture.

use std::{borrow::Cow, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    cluster::{Object, ObjectRef, SyncStatus},
    model::{ConntrackEntry, ConntrackQuery, Monotonic},
    pipeline::{InterfaceChange, KernelCounts, PipelineConfig},
};

/// The version of the format.
pub(super) const FORMAT: u32 = 1;

/// The first line of a capture.
#[derive(Serialize, Deserialize)]
pub(super) struct Header<'a> {
    pub(super) netpol_capture: u32,
    /// The version of the agent.
    pub(super) version: Cow<'a, str>,
    pub(super) config: Cow<'a, PipelineConfig>,
}

/// Every other line: one input.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line<'a> {
    Record(Bytes<'a>),
    Interface(Cow<'a, InterfaceChange>),
    View(ViewLine),
    Counters { counts: KernelCounts, at: Monotonic },
    Conntrack { query: ConntrackQuery, answer: Option<ConntrackEntry> },
    Tick { now: Monotonic, time: Timestamp },
    Finish,
}

/// A view, as the changes since the previous one.
#[derive(Serialize, Deserialize)]
pub(super) struct ViewLine {
    pub(super) at: Monotonic,
    pub(super) sync: SyncStatus,
    /// Whether `apply` contains all objects of the cluster state.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_whole: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) apply: Vec<Object>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) delete: Vec<ObjectRef>,
    /// All namespaces with a NetworkPolicy that could not be parsed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) unreadable: Vec<Arc<str>>,
}

/// The bytes of a record, as base64.
pub(super) struct Bytes<'a>(pub(super) Cow<'a, [u8]>);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        STANDARD.decode(&*text).map(|bytes| Self(Cow::Owned(bytes))).map_err(D::Error::custom)
    }
}
