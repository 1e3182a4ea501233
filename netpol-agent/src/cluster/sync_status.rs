//! How well each kind of object is known.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{ApiKind, Kinds, Monotonic, ObjectKind};

/// How well each kind of object is known: a plain value that is published together with the state that it is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncStatus {
    kinds: [KindStatus; ObjectKind::ALL.len()],
}

/// How well one kind is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct KindStatus {
    currency: Currency,
    /// Whether there are objects that can't be read.
    unreadable: bool,
    /// Whether the server has refused to list them.
    refused: bool,
    /// By which of the versions that can be read the server has it, the best first; 0 where that is not known.
    version: u8,
}

/// Until when a kind was current.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Currency {
    /// It has never been listed.
    #[default]
    Never,
    /// It is current until a later status says otherwise.
    Current,
    /// It was current until then.
    Until(Monotonic),
}

/// What may be judged by, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usability {
    /// Kinds that are not known, or were last current too long ago, or whose unreadable objects may decide any connection.
    pub unusable: Kinds,
    /// Those, and kinds with unreadable objects that concern few connections.
    pub unknown: Kinds,
    /// Kinds that have neither been listed yet nor been refused.
    pub awaited: Kinds,
    /// How long ago the oldest of the kinds that are known was current.
    pub age: Duration,
    /// How long ago pods were current.
    pub pods_age: Duration,
}

impl SyncStatus {
    /// All kinds are current.
    #[must_use]
    pub fn current() -> Self {
        let kind = KindStatus { currency: Currency::Current, ..KindStatus::default() };
        Self { kinds: [kind; ObjectKind::ALL.len()] }
    }

    /// A kind is current, and its changes come in as they happen.
    pub fn set_current(&mut self, kind: ObjectKind) {
        self.change(kind, |status| status.currency = Currency::Current);
    }

    /// Changes of a kind no longer come in: it was current until `last`, if it was so before.
    pub fn set_lost(&mut self, kind: ObjectKind, last: Monotonic) {
        self.change(kind, |status| {
            if status.currency == Currency::Current {
                status.currency = Currency::Until(last);
            }
        });
    }

    /// Sets whether there are objects of a kind that can't be read. What they say may decide any connection, but for
    /// NetworkPolicies: those concern the pods of their namespaces, and which these are is part of the snapshot.
    pub fn set_unreadable(&mut self, kind: ObjectKind, unreadable: bool) {
        self.change(kind, |status| status.unreadable = unreadable);
    }

    /// The server does not let the agent list a kind: there is no use in waiting for it.
    pub fn set_refused(&mut self, kind: ObjectKind) {
        self.change(kind, |status| status.refused = true);
    }

    /// The server has a kind by this version of its group.
    pub fn set_served(&mut self, kind: ObjectKind, version: &str) {
        let at = ApiKind::of(kind).versions.iter().position(|known| *known == version);
        self.change(kind, |status| status.version = at.and_then(|at| u8::try_from(at).ok()).unwrap_or(0));
    }

    /// `group/version` by which the server has a kind; the best that can be read, where that is not known.
    #[must_use]
    pub fn api_version(&self, kind: ObjectKind) -> String {
        let api = ApiKind::of(kind);
        let at = self.kinds.get(kind as usize).map_or(0, |status| status.version.into());
        api.api_version(api.versions.get(at).copied().unwrap_or_default())
    }

    fn change(&mut self, kind: ObjectKind, change: impl FnOnce(&mut KindStatus)) {
        if let Some(status) = self.kinds.get_mut(kind as usize) {
            change(status);
        }
    }

    /// What may be judged by now, where knowledge is good for `stale_after`.
    #[must_use]
    pub fn usability(&self, now: Monotonic, stale_after: Duration) -> Usability {
        let mut usability = Usability::default();
        for (kind, status) in ObjectKind::ALL.into_iter().zip(&self.kinds) {
            let is_listed = status.currency != Currency::Never;
            if !is_listed && !status.refused {
                usability.awaited.insert(kind);
            }
            if status.unreadable {
                usability.unknown.insert(kind);
            }
            if !is_listed || (status.unreadable && kind != ObjectKind::NetworkPolicy) {
                usability.unusable.insert(kind);
            }
            let Currency::Until(last) = status.currency else { continue };
            let age = now.since(last);
            usability.age = usability.age.max(age);
            if kind == ObjectKind::Pod {
                usability.pods_age = age;
            }
            if age > stale_after {
                usability.unusable.insert(kind);
            }
        }
        usability.unknown.extend(usability.unusable);
        usability
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let kind = ObjectKind::ClusterNetworkPolicy;
        let mut status = SyncStatus::current();
        assert_eq!(status.api_version(kind), "policy.networking.k8s.io/v1beta1");
        status.set_served(kind, "v1alpha2");
        assert_eq!(status.api_version(kind), "policy.networking.k8s.io/v1alpha2");
        assert_eq!(status.api_version(ObjectKind::Pod), "v1");
    }

    #[test]
    fn knowledge_ages() {
        let second = Duration::from_secs(1);
        let at = Monotonic::from_secs;
        let mut status = SyncStatus::default();
        let all: Kinds = ObjectKind::ALL.into_iter().collect();
        let known = |unusable, age| Usability { unusable, unknown: unusable, age, ..Usability::default() };
        let nothing = Usability { awaited: all, ..known(all, Duration::ZERO) };
        assert_eq!(status.usability(at(10), second), nothing);
        status.set_refused(ObjectKind::Node);
        assert!(!status.usability(at(10), second).awaited.contains(ObjectKind::Node));
        ObjectKind::ALL.into_iter().for_each(|kind| status.set_current(kind));
        assert_eq!(status.usability(at(11), second), known(Kinds::NONE, Duration::ZERO));
        status.set_lost(ObjectKind::Node, at(11));
        status.set_lost(ObjectKind::Node, at(12));
        assert_eq!(status.usability(at(12), second), known(Kinds::NONE, second));
        let known = status.usability(at(13), second);
        assert_eq!((known.age, known.pods_age), (2 * second, Duration::ZERO));
        assert!(!known.unusable.contains(ObjectKind::Pod) && known.unusable.contains(ObjectKind::Node));
        status.set_current(ObjectKind::Node);
        status.set_lost(ObjectKind::Pod, at(12));
        assert_eq!(status.usability(at(13), second).pods_age, second);
        status.set_current(ObjectKind::Pod);
        assert!(status.usability(at(13), second).unusable.is_empty());
        for (kind, is_unusable) in [(ObjectKind::Pod, true), (ObjectKind::NetworkPolicy, false)] {
            status.set_unreadable(kind, true);
            let known = status.usability(at(13), second);
            assert_eq!(known.unusable.contains(kind), is_unusable, "{kind:?}");
            assert!(known.unknown.contains(kind) && known.awaited.is_empty(), "{kind:?}");
        }
    }
}
