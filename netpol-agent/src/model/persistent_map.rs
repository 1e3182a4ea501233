//! The map that snapshots are made of.

use std::{
    array,
    borrow::Borrow,
    fmt,
    hash::{BuildHasher as _, Hash},
    sync::Arc,
};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Into how many a map and each of its branches is divided: few enough to find them in the cache, enough to make copies
/// cheap. In a cluster of 50,000 pods a part has some 50 entries, and a change copies 2 to 4 KB.
const FANOUT: usize = 32;

/// A map whose copies share what they have in common.
///
/// It is a tree of two levels above small tables, each of them shared until it is changed: a copy costs nothing, and a
/// change to one copies two short lists and one table.
#[derive(Clone)]
pub struct PersistentMap<K, V> {
    branches: Arc<[Branch<K, V>; FANOUT]>,
    hasher: RandomState,
    len: usize,
}

type Branch<K, V> = Arc<[Part<K, V>; FANOUT]>;
type Part<K, V> = Arc<HashTable<(K, V)>>;

impl<K, V> Default for PersistentMap<K, V> {
    fn default() -> Self {
        let empty = Arc::new(HashTable::new());
        let branch = Arc::new(array::from_fn(|_| empty.clone()));
        Self {
            branches: Arc::new(array::from_fn(|_| branch.clone())),
            hasher: RandomState::default(),
            len: 0,
        }
    }
}

impl<K, V> PersistentMap<K, V> {
    /// How many entries it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let parts = self.branches.iter().flat_map(|branch| branch.iter());
        parts.flat_map(|part| part.iter()).map(|(key, value)| (key, value))
    }

    /// All keys, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// All values, in no order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

impl<K: Eq + Hash + Clone, V: Clone> PersistentMap<K, V> {
    /// The value of a key.
    #[must_use]
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let hash = self.hasher.hash_one(key);
        let (branch, part) = place(hash);
        let part = self.branches.get(branch)?.get(part)?;
        part.find(hash, |(candidate, _)| candidate.borrow() == key).map(|(_, value)| value)
    }

    /// Whether it has a key.
    #[must_use]
    pub fn contains_key<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// Sets the value of a key.
    pub fn insert(&mut self, key: K, value: V) {
        let hash = self.hasher.hash_one(&key);
        let hasher = self.hasher.clone();
        let Some(part) = self.part_mut(hash) else { return };
        match part.find_mut(hash, |(candidate, _)| *candidate == key) {
            Some(entry) => entry.1 = value,
            None => {
                part.insert_unique(hash, (key, value), |(key, _)| hasher.hash_one(key));
                self.len += 1;
            }
        }
    }

    /// Takes a key out, and says whether it was there.
    pub fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        // Looked up first: only a change may cost a copy.
        if !self.contains_key(key) {
            return false;
        }
        let hash = self.hasher.hash_one(key);
        let Some(part) = self.part_mut(hash) else { return false };
        let removed =
            part.find_entry(hash, |(candidate, _)| candidate.borrow() == key).map(|entry| entry.remove());
        let was_there = removed.is_ok();
        self.len -= usize::from(was_there);
        was_there
    }

    fn part_mut(&mut self, hash: u64) -> Option<&mut HashTable<(K, V)>> {
        let (branch, part) = place(hash);
        let branch = Arc::make_mut(&mut self.branches).get_mut(branch)?;
        Arc::make_mut(branch).get_mut(part).map(Arc::make_mut)
    }
}

/// The branch and the part of a hash. The table inside a part uses the low bits and the very highest, so these are from
/// between.
fn place(hash: u64) -> (usize, usize) {
    let bits = usize::try_from(hash >> 40 & 0xffff).unwrap_or(0);
    (bits / FANOUT % FANOUT, bits % FANOUT)
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for PersistentMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_do_not_see_each_others_changes() {
        let mut map = PersistentMap::default();
        for i in 0..10_000 {
            map.insert(i, i);
        }
        let copy = map.clone();
        for i in 0..10_000 {
            assert!(map.remove(&i));
            map.insert(i + 20_000, i);
        }
        assert_eq!((map.len(), copy.len()), (10_000, 10_000));
        assert!((0..10_000).all(|i| copy.get(&i) == Some(&i) && !map.contains_key(&i)));
        assert!(!map.remove(&1));
        map.insert(20_000, 7);
        assert_eq!((map.len(), map.get(&20_000), map.iter().count()), (10_000, Some(&7), 10_000));
    }
}
