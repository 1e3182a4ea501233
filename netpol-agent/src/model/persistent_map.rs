//! A hash map with cheap copies, for snapshots of the cluster state.

use std::{
    array,
    borrow::Borrow,
    fmt,
    hash::{BuildHasher as _, Hash},
    sync::Arc,
};

use foldhash::fast::RandomState;

/// The number of branches of a map, and of parts of a branch: few enough to stay in the cache, enough to make copies
/// cheap. In a cluster of 50,000 pods a part has some 50 entries, and a change copies 2 to 4 KB.
const FANOUT: usize = 32;

/// The minimum number of slots of a part that has entries; always a power of two.
const MIN_SLOTS: usize = 4;

/// A map whose copies share their data.
///
/// It is a tree of two levels above small tables. Each of them is shared until it is changed. A copy costs nothing. A
/// change to one copy copies two short lists and one table. A table is one allocation (open addressing, linear
/// probing). The two lists stay in the cache, so a lookup usually costs one access to memory.
#[derive(Clone)]
pub struct PersistentMap<K, V> {
    branches: Arc<[Branch<K, V>; FANOUT]>,
    hasher: RandomState,
    len: usize,
}

type Branch<K, V> = Arc<[Part<K, V>; FANOUT]>;

/// The table of a part. Each entry is in the slot of its hash or in one after it, without an empty slot between.
type Part<K, V> = Arc<[Option<(K, V)>]>;

impl<K, V> Default for PersistentMap<K, V> {
    fn default() -> Self {
        let empty: Part<K, V> = Arc::new([]);
        let branch = Arc::new(array::from_fn(|_| empty.clone()));
        Self {
            branches: Arc::new(array::from_fn(|_| branch.clone())),
            hasher: RandomState::default(),
            len: 0,
        }
    }
}

impl<K, V> PersistentMap<K, V> {
    /// Returns the number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether the map has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns whether both maps are copies of one map, and neither was changed since.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.branches, &other.branches)
    }

    /// Returns all entries, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let parts = self.branches.iter().flat_map(|branch| branch.iter());
        parts.flat_map(|part| part.iter().flatten()).map(|(key, value)| (key, value))
    }

    /// Returns all keys, in no particular order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// Returns all values, in no particular order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

impl<K: Eq + Hash + Clone, V: Clone> PersistentMap<K, V> {
    /// Returns the value of a key.
    #[must_use]
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let hash = self.hasher.hash_one(key);
        let (branch, part) = place(hash);
        let part = self.branches.get(branch)?.get(part)?;
        match part.get(find(part, hash, key)?)? {
            Some((_, value)) => Some(value),
            None => None,
        }
    }

    /// Returns whether the map has a key.
    #[must_use]
    pub fn contains_key<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// Returns whether two copies of one map surely have the same value, or none, for a key. It does not search: the
    /// copies share the table that contains the key or would contain it. If the result is false, the values may still
    /// be equal.
    #[must_use]
    pub fn shares<Q: Eq + Hash + ?Sized>(&self, other: &Self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        if self.is_same(other) {
            return true;
        }
        let (branch, part) = place(self.hasher.hash_one(key));
        let at = |map: &Self| map.branches.get(branch).and_then(|branch| branch.get(part)).map(Arc::as_ptr);
        at(self) == at(other)
    }

    /// Sets the value of a key.
    pub fn insert(&mut self, key: K, value: V) {
        let hash = self.hasher.hash_one(&key);
        let hasher = self.hasher.clone();
        let Some(part) = self.part_mut(hash) else { return };
        let mut at = find(part, hash, &key);
        if at.is_none_or(|at| part.get(at).is_some_and(Option::is_none) && is_full(part)) {
            *part = grown(part, |key| hasher.hash_one(key));
            at = find(part, hash, &key);
        }
        let Some(place) = at.and_then(|at| Arc::make_mut(part).get_mut(at)) else { return };
        let is_new = place.replace((key, value)).is_none();
        self.len += usize::from(is_new);
    }

    /// Removes a key. Returns whether the map had it.
    pub fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        // Looks up first, so that nothing is copied if nothing changes.
        if !self.contains_key(key) {
            return false;
        }
        let hash = self.hasher.hash_one(key);
        let hasher = self.hasher.clone();
        let Some(part) = self.part_mut(hash) else { return false };
        let Some(at) = find(part, hash, key) else { return false };
        close_gap(Arc::make_mut(part), at, |key| hasher.hash_one(key));
        self.len -= 1;
        true
    }

    fn part_mut(&mut self, hash: u64) -> Option<&mut Part<K, V>> {
        let (branch, part) = place(hash);
        let branch = Arc::make_mut(&mut self.branches).get_mut(branch)?;
        Arc::make_mut(branch).get_mut(part)
    }
}

/// Returns the branch and the part of a hash. The table of a part uses the low bits, so these are higher ones.
fn place(hash: u64) -> (usize, usize) {
    let bits = usize::try_from(hash >> 40 & 0xffff).unwrap_or(0);
    (bits / FANOUT % FANOUT, bits % FANOUT)
}

/// Returns the preferred slot of a hash. The number of slots is a power of two.
fn preferred_slot(hash: u64, slots: usize) -> usize {
    usize::try_from(hash & 0xffff_ffff).unwrap_or(0) & (slots - 1)
}

/// Returns the slot of a key, or the empty slot where it belongs; `None` for a part without slots.
fn find<K: Borrow<Q>, V, Q: Eq + ?Sized>(part: &[Option<(K, V)>], hash: u64, key: &Q) -> Option<usize> {
    let slots = part.len();
    if slots == 0 {
        return None;
    }
    let mut at = preferred_slot(hash, slots);
    loop {
        match part.get(at)? {
            Some((candidate, _)) if candidate.borrow() != key => at = (at + 1) & (slots - 1),
            _ => return Some(at),
        }
    }
}

/// Returns whether one more entry would leave less than a third of the slots empty.
fn is_full<K, V>(part: &[Option<(K, V)>]) -> bool {
    let entries = part.iter().flatten().count();
    (entries + 1) * 3 > part.len() * 2
}

/// Returns the entries in a table of twice the size.
fn grown<K: Clone + Eq, V: Clone>(part: &[Option<(K, V)>], hash: impl Fn(&K) -> u64) -> Part<K, V> {
    let slots = (part.len() * 2).max(MIN_SLOTS);
    let mut larger: Box<[Option<(K, V)>]> = (0..slots).map(|_| None).collect();
    for (key, value) in part.iter().flatten() {
        if let Some(at) = find(&larger, hash(key), key)
            && let Some(place) = larger.get_mut(at)
        {
            *place = Some((key.clone(), value.clone()));
        }
    }
    larger.into()
}

/// Empties a slot, and moves later entries forward that a lookup would no longer find behind an empty slot.
fn close_gap<K, V>(part: &mut [Option<(K, V)>], gap: usize, hash: impl Fn(&K) -> u64) {
    let slots = part.len();
    let (mut gap, mut at) = (gap, gap);
    loop {
        at = (at + 1) & (slots - 1);
        let Some(Some((key, _))) = part.get(at) else { break };
        let distance = |from: usize, to: usize| to.wrapping_sub(from) & (slots - 1);
        // The entry may move to the gap unless its preferred slot is after the gap.
        if distance(preferred_slot(hash(key), slots), at) >= distance(gap, at) {
            part.swap(gap, at);
            gap = at;
        }
    }
    if let Some(place) = part.get_mut(gap) {
        *place = None;
    }
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

    use std::collections::BTreeMap;

    use proptest::prelude::*;

    proptest! {
        /// After any insertions and removals the map equals a `BTreeMap`, also if many keys have the same preferred
        /// slot.
        #[test]
        fn like_any_map(steps in proptest::collection::vec((any::<bool>(), 0u16..300, any::<u8>()), 1..600)) {
            let (mut map, mut plain) = (PersistentMap::default(), BTreeMap::new());
            let mut copies = Vec::new();
            for (number, (insert, key, value)) in steps.into_iter().enumerate() {
                if insert {
                    map.insert(key, value);
                    plain.insert(key, value);
                } else {
                    prop_assert_eq!(map.remove(&key), plain.remove(&key).is_some());
                }
                if number % 64 == 0 {
                    copies.push((map.clone(), plain.clone()));
                }
            }
            copies.push((map, plain));
            for (map, plain) in copies {
                prop_assert_eq!(map.len(), plain.len());
                prop_assert_eq!(map.iter().map(|(k, v)| (*k, *v)).collect::<BTreeMap<_, _>>(), plain.clone());
                for key in 0..300 {
                    prop_assert_eq!(map.get(&key), plain.get(&key));
                }
            }
        }

        /// Copies have equal values for the keys that they share, and they share most of the keys that were not changed.
        #[test]
        fn what_copies_share(changed in proptest::collection::btree_set(0u32..5_000, 0..20)) {
            let mut map: PersistentMap<u32, u32> = PersistentMap::default();
            (0..5_000).for_each(|key| map.insert(key, key));
            let copy = map.clone();
            prop_assert!(map.is_same(&copy));
            for key in &changed {
                map.insert(*key, key + 1);
            }
            prop_assert_eq!(map.is_same(&copy), changed.is_empty());
            let shared: Vec<u32> = (0..5_000).filter(|key| map.shares(&copy, key)).collect();
            prop_assert!(shared.iter().all(|key| map.get(key) == copy.get(key)));
            prop_assert!(shared.len() >= 5_000 - 30 * changed.len(), "{} shared", shared.len());
        }

        /// Removals in one table whose keys have colliding preferred slots that wrap around the end.
        #[test]
        fn gaps_are_closed(keys in proptest::collection::btree_set(0u64..64, 1..11), removed in 0usize..11) {
            // Five preferred slots out of sixteen, including the last ones.
            let hash = |key: &u64| 13 + key % 5;
            let mut part: Part<u64, ()> = Arc::new([]);
            while part.len() < 16 {
                part = grown(&part, hash);
            }
            for key in &keys {
                let at = find(&part, hash(key), key).unwrap();
                Arc::make_mut(&mut part)[at] = Some((*key, ()));
            }
            let removed = *keys.iter().nth(removed % keys.len()).unwrap();
            let at = find(&part, hash(&removed), &removed).unwrap();
            close_gap(Arc::make_mut(&mut part), at, hash);
            for key in &keys {
                let at = find(&part, hash(key), key).unwrap();
                prop_assert_eq!(part[at].is_some(), *key != removed, "{}", key);
            }
        }
    }
}
