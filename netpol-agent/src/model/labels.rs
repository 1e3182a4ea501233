//! Labels, shared by all objects that have the same ones.

use std::{
    collections::BTreeMap,
    fmt,
    hash::{BuildHasher as _, Hash, Hasher, RandomState},
    sync::{Arc, OnceLock},
};

use serde::{Deserialize, Serialize, ser::SerializeMap as _};

/// A set of labels, sorted by key. Clones share the data; the hash is computed once.
#[derive(Clone)]
pub struct Labels(Arc<Shared>);

struct Shared {
    hash: u64,
    pairs: Box<[(Arc<str>, Arc<str>)]>,
}

impl Labels {
    /// Returns the value of a label.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let pairs = &self.0.pairs;
        let at = pairs.binary_search_by(|(candidate, _)| (**candidate).cmp(key)).ok()?;
        pairs.get(at).map(|(_, value)| &**value)
    }

    /// Returns all labels, sorted by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.pairs.iter().map(|(key, value)| (&**key, &**value))
    }

    /// Returns whether there are no labels.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.pairs.is_empty()
    }

    /// Returns equal labels whose strings are replaced by the results of `share`. `share` must return an equal string.
    #[must_use]
    pub fn shared(&self, mut share: impl FnMut(&Arc<str>) -> Arc<str>) -> Self {
        let pairs = self.0.pairs.iter().map(|(key, value)| (share(key), share(value))).collect();
        Self(Arc::new(Shared { hash: self.0.hash, pairs }))
    }

    /// Returns the labels with one label added or replaced.
    #[must_use]
    pub fn with(&self, key: &str, value: &str) -> Self {
        let others = self.iter().filter(|(k, _)| *k != key);
        others.chain([(key, value)]).collect()
    }
}

/// If a key occurs twice, the first pair is kept.
impl<K: Into<Arc<str>>, V: Into<Arc<str>>> FromIterator<(K, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut pairs: Vec<(Arc<str>, Arc<str>)> =
            pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        pairs.dedup_by(|later, first| later.0 == first.0);
        let hash = hash_of(&pairs);
        Self(Arc::new(Shared { hash, pairs: pairs.into_boxed_slice() }))
    }
}

/// The hash key is random per process, so that nobody can craft label sets that collide.
fn hash_of(pairs: &[(Arc<str>, Arc<str>)]) -> u64 {
    static KEYED: OnceLock<RandomState> = OnceLock::new();
    KEYED.get_or_init(RandomState::new).hash_one(pairs)
}

impl Default for Labels {
    fn default() -> Self {
        std::iter::empty::<(&str, &str)>().collect()
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.0.hash == other.0.hash && self.0.pairs == other.0.pairs)
    }
}

impl Eq for Labels {}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Labels {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.pairs.len()))?;
        for (key, value) in self.iter() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::<Arc<str>, Arc<str>>::deserialize(deserializer).map(Self::from_iter)
    }
}
