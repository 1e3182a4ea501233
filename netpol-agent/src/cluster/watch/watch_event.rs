//! What watchers report.

use super::WatchError;
use crate::{
    cluster::{Object, ObjectRef},
    model::{Monotonic, ObjectKind},
};

/// What a watcher reports, in the order in which it happens.
#[derive(Debug)]
pub enum WatchEvent {
    /// The server has a kind by this version of its group, and that is the one which is read.
    Served(ObjectKind, &'static str),
    /// A list of all objects of a kind begins: what is applied until it is complete is all there is.
    Init(ObjectKind),
    /// An object is there, or has changed.
    Apply(Object),
    /// An object is gone.
    Delete(ObjectRef),
    /// An object can't be read. An older form of it is not in force any more.
    Unreadable {
        /// Which.
        reference: ObjectRef,
        /// The field, and what is wrong with it.
        why: String,
    },
    /// The list is complete.
    InitDone(ObjectKind),
    /// The server does not know the kind: there is none of it.
    NotServed(ObjectKind),
    /// Objects of a kind can't be listed or watched at present; the watcher keeps trying.
    Failed(ObjectKind, WatchError),
    /// All that is known of a kind is current: it comes behind the objects that make it so.
    Current(ObjectKind),
    /// Changes of a kind no longer come in: what is known of it was current until then.
    Lost(ObjectKind, Monotonic),
    /// An error has ended: changes come in again.
    Recovered(ObjectKind),
}
