//! How old the knowledge of each kind is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::model::{Kinds, ObjectKind};

/// Not known at all.
const NEVER: u64 = 0;

/// Current for as long as nothing else is said.
const CURRENT: u64 = u64::MAX;

/// When each kind was last known to be current. Cloning shares.
#[derive(Clone, Debug)]
pub struct SyncTracker {
    start: Instant,
    /// By kind: milliseconds from `start`, plus one, or one of the two constants above.
    heard: Arc<[AtomicU64; ObjectKind::ALL.len()]>,
    /// By kind: whether there are objects that can't be read.
    unreadable: Arc<[AtomicBool; ObjectKind::ALL.len()]>,
    /// By kind: whether the server has refused to tell.
    refused: Arc<[AtomicBool; ObjectKind::ALL.len()]>,
}

/// What is known at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SyncStatus {
    /// Kinds that are not known, or were last known too long ago, or whose unreadable objects may decide any connection.
    pub gaps: Kinds,
    /// Those, and kinds with unreadable objects that concern few connections.
    pub unknown: Kinds,
    /// Kinds of which nothing has been heard yet: not which objects there are, and not that the agent may not know.
    pub awaited: Kinds,
    /// How long ago the oldest of the kinds that are known was current.
    pub age: Duration,
    /// How long ago pods were current.
    pub pods_age: Duration,
}

impl SyncTracker {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            start: now,
            heard: Arc::new(std::array::from_fn(|_| AtomicU64::new(NEVER))),
            unreadable: Arc::default(),
            refused: Arc::default(),
        }
    }

    /// Whether there are objects of a kind that can't be read. What they say may decide any connection, but for
    /// NetworkPolicies: those concern the pods of their namespaces, and which these are is part of the snapshot.
    pub fn unreadable(&self, kind: ObjectKind, are_there: bool) {
        if let Some(unreadable) = self.unreadable.get(kind as usize) {
            unreadable.store(are_there, Ordering::Relaxed);
        }
    }

    /// The server does not let the agent know a kind: there is no use in waiting for it.
    pub fn refused(&self, kind: ObjectKind) {
        if let Some(refused) = self.refused.get(kind as usize) {
            refused.store(true, Ordering::Relaxed);
        }
    }

    /// A kind is current, and changes come in as they happen.
    pub fn current(&self, kind: ObjectKind) {
        if let Some(heard) = self.heard.get(kind as usize) {
            heard.store(CURRENT, Ordering::Relaxed);
        }
    }

    /// Changes no longer come in: a kind that has been current was so until then.
    pub fn lost(&self, kind: ObjectKind, last: Instant) {
        let until = last.saturating_duration_since(self.start).as_millis();
        let until = u64::try_from(until).unwrap_or(CURRENT - 2) + 1;
        if let Some(heard) = self.heard.get(kind as usize) {
            // Otherwise, it has been lost before, or is not known yet.
            let _ = heard.compare_exchange(CURRENT, until, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// What is known now, where knowledge is good for `limit`.
    #[must_use]
    pub fn at(&self, now: Instant, limit: Duration) -> SyncStatus {
        let since = now.saturating_duration_since(self.start);
        let mut knowledge = SyncStatus::default();
        for kind in ObjectKind::ALL {
            let heard = self.heard.get(kind as usize).map_or(NEVER, |heard| heard.load(Ordering::Relaxed));
            let is_set = |flags: &[AtomicBool]| {
                flags.get(kind as usize).is_some_and(|flag| flag.load(Ordering::Relaxed))
            };
            if heard == NEVER && !is_set(&*self.refused) {
                knowledge.awaited.insert(kind);
            }
            let unreadable = is_set(&*self.unreadable);
            if unreadable {
                knowledge.unknown.insert(kind);
            }
            if heard == NEVER || (unreadable && kind != ObjectKind::NetworkPolicy) {
                knowledge.gaps.insert(kind);
            }
            if matches!(heard, NEVER | CURRENT) {
                continue;
            }
            let age = since.saturating_sub(Duration::from_millis(heard - 1));
            knowledge.age = knowledge.age.max(age);
            if kind == ObjectKind::Pod {
                knowledge.pods_age = age;
            }
            if age > limit {
                knowledge.gaps.insert(kind);
            }
        }
        knowledge.unknown.extend(knowledge.gaps);
        knowledge
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knowledge_ages() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let sync_tracker = SyncTracker::new(start);
        let all: Kinds = ObjectKind::ALL.into_iter().collect();
        let known = |gaps, age| SyncStatus { gaps, unknown: gaps, age, ..SyncStatus::default() };
        let nothing = SyncStatus { awaited: all, ..known(all, Duration::ZERO) };
        assert_eq!(sync_tracker.at(start, second), nothing);
        sync_tracker.refused(ObjectKind::Node);
        assert!(!sync_tracker.at(start, second).awaited.contains(ObjectKind::Node));
        ObjectKind::ALL.into_iter().for_each(|kind| sync_tracker.current(kind));
        assert_eq!(sync_tracker.at(start + second, second), known(Kinds::NONE, Duration::ZERO));
        sync_tracker.lost(ObjectKind::Node, start + second);
        sync_tracker.lost(ObjectKind::Node, start + 2 * second);
        assert_eq!(sync_tracker.at(start + 2 * second, second), known(Kinds::NONE, second));
        let known = sync_tracker.at(start + 3 * second, second);
        assert_eq!((known.age, known.pods_age), (2 * second, Duration::ZERO));
        assert!(!known.gaps.contains(ObjectKind::Pod) && known.gaps.contains(ObjectKind::Node));
        sync_tracker.current(ObjectKind::Node);
        sync_tracker.lost(ObjectKind::Pod, start + 2 * second);
        assert_eq!(sync_tracker.at(start + 3 * second, second).pods_age, second);
        sync_tracker.current(ObjectKind::Pod);
        assert!(sync_tracker.at(start + 3 * second, second).gaps.is_empty());
        for (kind, is_gap) in [(ObjectKind::Pod, true), (ObjectKind::NetworkPolicy, false)] {
            sync_tracker.unreadable(kind, true);
            let known = sync_tracker.at(start + 3 * second, second);
            assert_eq!(known.gaps.contains(kind), is_gap, "{kind:?}");
            assert!(known.unknown.contains(kind) && known.awaited.is_empty(), "{kind:?}");
        }
    }
}
