//! Peer sets: the sets of pods that rules select as peers. Each distinct set has an ID, so that rules are matched by
//! ID.
//!
//! A rule has the IDs of its peer sets, and a pod class has the IDs of the sets that contain it. To match a rule means
//! to compare these IDs.

use std::{collections::HashMap, sync::Arc};

use smallvec::SmallVec;

use super::selector_index::SelectorIndex;
use crate::model::{LabelSelector, Labels, PodClass};

/// The ID of a peer set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PeerId(u32);

/// A set of pods: the pods in the scope's namespaces that match a label selector.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PeerSet {
    pub(super) scope: Scope,
    pub(super) pods: LabelSelector,
}

/// The namespaces of a peer set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    Namespace(Arc<str>),
    Selector(LabelSelector),
}

/// All peer sets that rules refer to. Equal sets share one entry. A set is removed when no rule refers to it any more.
#[derive(Debug, Default)]
pub(super) struct PeerTable {
    sets: HashMap<Arc<PeerSet>, SetEntry>,
    scopes: HashMap<Scope, SelectorIndex<PeerId>>,
    /// The scopes that are selectors, indexed by the namespace labels that they match.
    selectors: SelectorIndex<Scope>,
    last: u32,
}

#[derive(Debug)]
struct SetEntry {
    id: PeerId,
    /// The number of rules that refer to the set.
    rules: usize,
}

impl PeerTable {
    /// Returns the ID of a set, and whether the set is new. The caller must call [`Self::release`] when it no longer
    /// needs the set.
    pub(super) fn acquire(&mut self, set: &Arc<PeerSet>) -> (PeerId, bool) {
        if let Some(known) = self.sets.get_mut(set) {
            known.rules += 1;
            return (known.id, false);
        }
        self.last += 1;
        let id = PeerId(self.last);
        self.sets.insert(set.clone(), SetEntry { id, rules: 1 });
        if let (Scope::Selector(selector), false) = (&set.scope, self.scopes.contains_key(&set.scope)) {
            self.selectors.insert(selector.clone(), set.scope.clone());
        }
        self.scopes.entry(set.scope.clone()).or_default().insert(set.pods.clone(), id);
        (id, true)
    }

    /// Releases a set. Returns true if that was its last use.
    pub(super) fn release(&mut self, set: &Arc<PeerSet>) -> bool {
        let Some(known) = self.sets.get_mut(set) else { return false };
        known.rules -= 1;
        if known.rules > 0 {
            return false;
        }
        let id = known.id;
        self.sets.remove(set);
        if let Some(peers) = self.scopes.get_mut(&set.scope) {
            peers.remove(&set.pods, &id);
            if peers.is_empty() {
                self.scopes.remove(&set.scope);
                if let Scope::Selector(selector) = &set.scope {
                    self.selectors.remove(selector, &set.scope);
                }
            }
        }
        true
    }

    /// The IDs of the sets that contain the pods of a class, sorted. `namespace` is the labels of the class's
    /// namespace.
    pub(super) fn sets_of(&self, class: &PodClass, namespace: &Labels) -> SmallVec<[PeerId; 8]> {
        let own_namespace = Scope::Namespace(class.namespace.clone());
        let scopes = self.selectors.matching(namespace).chain([&own_namespace]);
        let peers = scopes.filter_map(|scope| self.scopes.get(scope));
        let mut ids: SmallVec<[PeerId; 8]> =
            peers.flat_map(|peers| peers.matching(&class.labels)).copied().collect();
        ids.sort_unstable();
        ids
    }
}

impl PeerSet {
    pub(super) fn contains(&self, class: &PodClass, namespace: &Labels) -> bool {
        self.includes_namespace(&class.namespace, namespace) && self.pods.matches(&class.labels)
    }

    /// Returns true if the set's scope includes a namespace with this name and these labels.
    pub(super) fn includes_namespace(&self, namespace: &str, labels: &Labels) -> bool {
        match &self.scope {
            Scope::Namespace(name) => **name == *namespace,
            Scope::Selector(selector) => selector.matches(labels),
        }
    }
}
