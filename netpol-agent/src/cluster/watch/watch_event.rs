//! The events that watchers report.

use super::WatchError;
use crate::{
    cluster::{Object, ObjectRef},
    model::{Monotonic, ObjectKind},
};

/// An event of a watcher. The events of a kind are in the order in which they happened.
#[derive(Debug)]
pub enum WatchEvent {
    /// The server serves the kind in this version of its API group, and the watcher uses that version.
    Served(ObjectKind, &'static str),
    /// A list of all objects of a kind begins. It consists of the objects that are applied until `InitDone`.
    Init(ObjectKind),
    /// An object was added or changed.
    Apply(Object),
    /// An object was deleted.
    Delete(ObjectRef),
    /// An object can't be parsed. Its previous version, if any, no longer applies.
    Unreadable {
        /// The object that could not be parsed.
        reference: ObjectRef,
        /// The field and the error.
        why: String,
    },
    /// The list is complete.
    InitDone(ObjectKind),
    /// The server does not serve the kind, so there are no objects of it.
    NotServed(ObjectKind),
    /// Objects of a kind can't be listed or watched at present; the watcher keeps trying.
    Failed(ObjectKind, WatchError),
    /// All objects of a kind are current. This event follows the events of these objects.
    Current(ObjectKind),
    /// The changes of a kind are no longer received. Its objects were current until this time.
    Lost(ObjectKind, Monotonic),
    /// The error has ended: changes of the kind are received again.
    Recovered(ObjectKind),
}
