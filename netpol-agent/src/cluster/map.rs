//! The map that snapshots are made of.

use std::hash::Hash;

use foldhash::fast::RandomState;

/// A map whose copies share what they have in common: a copy costs nothing, a change to it little.
pub type Map<K, V> = rpds::HashTrieMapSync<K, V, RandomState>;

/// An empty map.
#[must_use]
pub fn new<K: Eq + Hash, V>() -> Map<K, V> {
    Map::new_with_hasher_and_ptr_kind(RandomState::default())
}
