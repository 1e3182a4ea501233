//! Sets of pods that rules name as peers, each known by a number.

use std::{collections::HashMap, sync::Arc};

use smallvec::SmallVec;

use super::selector_index::SelectorIndex;
use crate::model::{LabelSelector, Labels, PodClass};

/// The number of a set of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PeerId(u32);

/// A set of pods: of some namespaces, those with some labels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PeerSet {
    pub(super) scope: Scope,
    pub(super) pods: LabelSelector,
}

/// The namespaces that a set of pods is from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    Namespace(Arc<str>),
    Selector(LabelSelector),
}

/// All sets that rules name. Equal sets are one, and one that no rule names any more is forgotten.
#[derive(Debug, Default)]
pub(super) struct PeerTable {
    sets: HashMap<Arc<PeerSet>, Use>,
    scopes: HashMap<Scope, SelectorIndex<PeerId>>,
    /// The scopes that are selectors, by what they match.
    selectors: SelectorIndex<Scope>,
    last: u32,
}

#[derive(Debug)]
struct Use {
    id: PeerId,
    /// How many rules name the set.
    rules: usize,
}

impl PeerTable {
    /// The number of a set, and whether it is a new one. To be given back by [`Self::release`].
    pub(super) fn acquire(&mut self, set: &Arc<PeerSet>) -> (PeerId, bool) {
        if let Some(known) = self.sets.get_mut(set) {
            known.rules += 1;
            return (known.id, false);
        }
        self.last += 1;
        let id = PeerId(self.last);
        self.sets.insert(set.clone(), Use { id, rules: 1 });
        if let (Scope::Selector(selector), false) = (&set.scope, self.scopes.contains_key(&set.scope)) {
            self.selectors.insert(selector.clone(), set.scope.clone());
        }
        self.scopes.entry(set.scope.clone()).or_default().insert(set.pods.clone(), id);
        (id, true)
    }

    /// Gives a set back, and says whether that was its last use.
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

    /// The sets that pods of a class are in, sorted.
    pub(super) fn sets_of(&self, class: &PodClass, namespace: &Labels) -> SmallVec<[PeerId; 8]> {
        let own = Scope::Namespace(class.namespace.clone());
        let scopes = self.selectors.matching(namespace).chain([&own]);
        let peers = scopes.filter_map(|scope| self.scopes.get(scope));
        let mut ids: SmallVec<[PeerId; 8]> =
            peers.flat_map(|peers| peers.matching(&class.labels)).copied().collect();
        ids.sort_unstable();
        ids
    }
}

impl PeerSet {
    pub(super) fn contains(&self, class: &PodClass, namespace: &Labels) -> bool {
        self.is_from(&class.namespace, namespace) && self.pods.matches(&class.labels)
    }

    /// Whether pods of a namespace with these labels can be in it.
    pub(super) fn is_from(&self, namespace: &str, labels: &Labels) -> bool {
        match &self.scope {
            Scope::Namespace(name) => **name == *namespace,
            Scope::Selector(selector) => selector.matches(labels),
        }
    }
}
