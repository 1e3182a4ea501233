//! What policies can see of a pod: namespace, labels and container ports.

use std::{
    hash::{BuildHasher as _, Hash, Hasher, RandomState},
    ptr,
    sync::{Arc, OnceLock},
};

use serde::{Deserialize, Serialize};

use super::{ContainerPort, Labels};

/// What a selector or a named port can see of a pod. Similar pods share it.
///
/// It is looked up for every judged connection, so its hash is computed once.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Parts")]
pub struct PodClass {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The labels.
    pub labels: Labels,
    /// The declared ports of its containers and restartable init containers.
    pub ports: Box<[ContainerPort]>,
    #[serde(skip)]
    hash: u64,
    #[serde(skip)]
    slot: Option<u32>,
}

/// The serialised fields of a class.
#[derive(Deserialize)]
struct Parts {
    namespace: Arc<str>,
    labels: Labels,
    ports: Box<[ContainerPort]>,
}

impl From<Parts> for PodClass {
    fn from(Parts { namespace, labels, ports }: Parts) -> Self {
        Self::new(namespace, labels, ports)
    }
}

impl PodClass {
    /// Creates the class of pods in a namespace with these labels and ports.
    #[must_use]
    pub fn new(namespace: Arc<str>, labels: Labels, ports: Box<[ContainerPort]>) -> Self {
        // The hash key is random per process, so that nobody can craft classes that collide.
        static KEYED: OnceLock<RandomState> = OnceLock::new();
        let hash = KEYED.get_or_init(RandomState::new).hash_one((&namespace, &labels, &ports));
        Self { namespace, labels, ports, hash, slot: None }
    }
}

impl PodClass {
    /// Returns the class with a slot: a small number that no other class in the same index has at the same time.
    /// Results per class can be kept in a list, at the index of the slot.
    #[must_use]
    pub fn with_slot(self, slot: u32) -> Self {
        Self { slot: Some(slot), ..self }
    }

    /// Returns the slot; `None` for a class that is in no index.
    #[must_use]
    pub const fn slot(&self) -> Option<u32> {
        self.slot
    }
}

impl PartialEq for PodClass {
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self, other)
            || (self.hash == other.hash
                && self.namespace == other.namespace
                && self.labels == other.labels
                && self.ports == other.ports)
    }
}

impl Eq for PodClass {}

impl Hash for PodClass {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}
