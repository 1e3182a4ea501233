//! The map that snapshots are made of.

use std::{
    array,
    borrow::Borrow,
    fmt,
    hash::{BuildHasher as _, Hash},
    sync::Arc,
};

use foldhash::fast::RandomState;

/// Into how many a map and each of its branches is divided: few enough to find them in the cache, enough to make copies
/// cheap. In a cluster of 50,000 pods a part has some 50 entries, and a change copies 2 to 4 KB.
const FANOUT: usize = 32;

/// The fewest places of a part that has entries; always a power of two.
const FEWEST_PLACES: usize = 4;

/// A map whose copies share what they have in common.
///
/// It is a tree of two levels above small tables, each of them shared until it is changed: a copy costs nothing, and a
/// change to one copies two short lists and one table. A table is one piece of memory (open addressing, linear probing), so
/// that a look-up beyond the two lists, which stay in the cache, usually costs one access to memory.
#[derive(Clone)]
pub struct PersistentMap<K, V> {
    branches: Arc<[Branch<K, V>; FANOUT]>,
    hasher: RandomState,
    len: usize,
}

type Branch<K, V> = Arc<[Part<K, V>; FANOUT]>;

/// The entries of a part, each at the place of its hash or after it, with no empty place between.
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

    /// Whether both are copies of one map that nobody has changed since.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.branches, &other.branches)
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let parts = self.branches.iter().flat_map(|branch| branch.iter());
        parts.flat_map(|part| part.iter().flatten()).map(|(key, value)| (key, value))
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
        match part.get(find(part, hash, key)?)? {
            Some((_, value)) => Some(value),
            None => None,
        }
    }

    /// Whether it has a key.
    #[must_use]
    pub fn contains_key<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// Whether two copies of one map surely have the same at a key. It costs no search: they share the table where the key
    /// is, or would be. Where they do not, they may still have the same.
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

/// The branch and the part of a hash. The table inside a part uses the low bits, so these are from above.
fn place(hash: u64) -> (usize, usize) {
    let bits = usize::try_from(hash >> 40 & 0xffff).unwrap_or(0);
    (bits / FANOUT % FANOUT, bits % FANOUT)
}

/// Where the entry of a hash would be, were there no others; the number of places is a power of two.
fn home(hash: u64, places: usize) -> usize {
    usize::try_from(hash & 0xffff_ffff).unwrap_or(0) & (places - 1)
}

/// The place of a key, or the empty one where it would go; `None` in a part without places.
fn find<K: Borrow<Q>, V, Q: Eq + ?Sized>(part: &[Option<(K, V)>], hash: u64, key: &Q) -> Option<usize> {
    let places = part.len();
    if places == 0 {
        return None;
    }
    let mut at = home(hash, places);
    loop {
        match part.get(at)? {
            Some((candidate, _)) if candidate.borrow() != key => at = (at + 1) & (places - 1),
            _ => return Some(at),
        }
    }
}

/// Whether one more entry would leave less than a third of the places empty.
fn is_full<K, V>(part: &[Option<(K, V)>]) -> bool {
    let entries = part.iter().flatten().count();
    (entries + 1) * 3 > part.len() * 2
}

/// The same entries in twice as many places.
fn grown<K: Clone + Eq, V: Clone>(part: &[Option<(K, V)>], hash: impl Fn(&K) -> u64) -> Part<K, V> {
    let places = (part.len() * 2).max(FEWEST_PLACES);
    let mut larger: Box<[Option<(K, V)>]> = (0..places).map(|_| None).collect();
    for (key, value) in part.iter().flatten() {
        if let Some(at) = find(&larger, hash(key), key)
            && let Some(place) = larger.get_mut(at)
        {
            *place = Some((key.clone(), value.clone()));
        }
    }
    larger.into()
}

/// Empties a place, and moves up what is behind it and would not be found beyond an empty place.
fn close_gap<K, V>(part: &mut [Option<(K, V)>], gap: usize, hash: impl Fn(&K) -> u64) {
    let places = part.len();
    let (mut gap, mut at) = (gap, gap);
    loop {
        at = (at + 1) & (places - 1);
        let Some(Some((key, _))) = part.get(at) else { break };
        let distance = |from: usize, to: usize| to.wrapping_sub(from) & (places - 1);
        // It may go up to the gap unless its home is behind that.
        if distance(home(hash(key), places), at) >= distance(gap, at) {
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
        /// Whatever is put in and taken out, it is what a plain map is; also where many keys have one place.
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

        /// What copies share is the same in both, and what nobody touched is shared by most.
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

        /// Removals in one table, with homes that collide and wrap around its end.
        #[test]
        fn gaps_are_closed(keys in proptest::collection::btree_set(0u64..64, 1..11), gone in 0usize..11) {
            // Five homes in sixteen places, the last ones among them.
            let hash = |key: &u64| 13 + key % 5;
            let mut part: Part<u64, ()> = Arc::new([]);
            while part.len() < 16 {
                part = grown(&part, hash);
            }
            for key in &keys {
                let at = find(&part, hash(key), key).unwrap();
                Arc::make_mut(&mut part)[at] = Some((*key, ()));
            }
            let gone = *keys.iter().nth(gone % keys.len()).unwrap();
            let at = find(&part, hash(&gone), &gone).unwrap();
            close_gap(Arc::make_mut(&mut part), at, hash);
            for key in &keys {
                let at = find(&part, hash(key), key).unwrap();
                prop_assert_eq!(part[at].is_some(), *key != gone, "{}", key);
            }
        }
    }
}
