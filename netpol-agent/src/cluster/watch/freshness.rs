//! How old the knowledge of each kind is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::model::{Kinds, ObjectKind};

/// Not known at all.
const NEVER: u64 = 0;

/// When each kind was last known to be current. Cloning shares.
#[derive(Clone, Debug)]
pub struct Freshness {
    start: Instant,
    /// Milliseconds from `start`, plus one; by kind.
    heard: Arc<[AtomicU64; ObjectKind::ALL.len()]>,
}

/// What is known at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Knowledge {
    /// Kinds that are not known, or were last known too long ago.
    pub gaps: Kinds,
    /// How long ago the oldest of the kinds that are known was current.
    pub age: Duration,
}

impl Freshness {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { start: now, heard: Arc::new(std::array::from_fn(|_| AtomicU64::new(NEVER))) }
    }

    /// A kind is current now: all its objects are in, and the server has just said what became of them.
    pub fn heard(&self, kind: ObjectKind, now: Instant) {
        let since = now.saturating_duration_since(self.start).as_millis();
        let since = u64::try_from(since).unwrap_or(u64::MAX - 1);
        if let Some(heard) = self.heard.get(kind as usize) {
            heard.store(since + 1, Ordering::Relaxed);
        }
    }

    /// What is known now, where knowledge is good for `limit`.
    #[must_use]
    pub fn at(&self, now: Instant, limit: Duration) -> Knowledge {
        let since = now.saturating_duration_since(self.start);
        let mut knowledge = Knowledge { gaps: Kinds::NONE, age: Duration::ZERO };
        for kind in ObjectKind::ALL {
            let heard = self.heard.get(kind as usize).map_or(NEVER, |heard| heard.load(Ordering::Relaxed));
            if heard == NEVER {
                knowledge.gaps.insert(kind);
                continue;
            }
            let age = since.saturating_sub(Duration::from_millis(heard - 1));
            knowledge.age = knowledge.age.max(age);
            if age > limit {
                knowledge.gaps.insert(kind);
            }
        }
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
        let freshness = Freshness::new(start);
        let all: Kinds = ObjectKind::ALL.into_iter().collect();
        assert_eq!(freshness.at(start, second), Knowledge { gaps: all, age: Duration::ZERO });
        for kind in ObjectKind::ALL {
            freshness.heard(kind, start + second);
        }
        let known = freshness.at(start + 2 * second, second);
        assert_eq!(known, Knowledge { gaps: Kinds::NONE, age: second });
        freshness.heard(ObjectKind::Node, start + 2 * second);
        let known = freshness.at(start + 3 * second, second);
        assert_eq!(known.age, 2 * second);
        assert!(known.gaps.contains(ObjectKind::Pod) && !known.gaps.contains(ObjectKind::Node));
    }
}
