//! Compiles snapshots into engines, incrementally: a change recompiles only the pod classes that it affects.
//!
//! One task owns the [`Compiler`]. It passes each new snapshot to it and publishes the resulting engine.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::{
    class_table::ClassTable,
    compiled_pod_class::{CompiledDirection, CompiledPodClass, by_priority},
    engine::Engine,
    peers::PeerSet,
    policies::{CompiledClusterPolicy, CompiledPolicy, RuleCompiler},
    rule::CompiledTierRule,
    selector_index::SelectorIndex,
};
use crate::{
    cluster::{ObjectRef, Snapshot},
    model::{PodClass, PolicyDirection, PolicyRef, cluster_policy::Tier},
};

/// Compiles snapshots into engines. It keeps the result for the previous snapshot and recompiles only what has
/// changed.
#[derive(Debug)]
pub struct Compiler {
    snapshot: Arc<Snapshot>,
    engine: Arc<Engine>,
    compiled: ClassTable,
    /// The pod classes and policies of each namespace that has any.
    namespaces: HashMap<Arc<str>, Residents>,
    policies: HashMap<PolicyRef, Arc<CompiledPolicy>>,
    cluster_policies: BTreeMap<PolicyRef, CompiledClusterPolicy>,
    rules_compiler: RuleCompiler,
    /// The classes that have to be recompiled.
    dirty: HashSet<Arc<PodClass>>,
}

/// The pod classes and policies of a namespace.
#[derive(Debug, Default)]
struct Residents {
    /// The classes of its pods, with the number of pods of each class.
    classes: HashMap<Arc<PodClass>, usize>,
    /// Its policies, indexed by `podSelector`.
    policies: SelectorIndex<PolicyRef>,
}

/// The compiled ingress and egress rules for each list of policies. Classes with the same policies share them.
type CompiledLists = HashMap<Vec<PolicyRef>, (Arc<CompiledDirection>, Arc<CompiledDirection>)>;

impl Default for Compiler {
    fn default() -> Self {
        Self::new()
    }
}

impl Compiler {
    /// Creates a compiler with an empty snapshot.
    #[must_use]
    pub fn new() -> Self {
        let snapshot = Arc::new(Snapshot::empty());
        let engine = Engine { snapshot: snapshot.clone(), classes: ClassTable::default() };
        Self {
            snapshot,
            engine: Arc::new(engine),
            compiled: ClassTable::default(),
            namespaces: HashMap::new(),
            policies: HashMap::new(),
            cluster_policies: BTreeMap::new(),
            rules_compiler: RuleCompiler::default(),
            dirty: HashSet::new(),
        }
    }

    /// Compiles a snapshot. It must come from the same index as the previous one, and must not be older.
    pub fn update(&mut self, snapshot: &Arc<Snapshot>) -> Arc<Engine> {
        let before = self.snapshot.clone();
        let changed: Option<HashSet<&ObjectRef>> =
            snapshot.changed_since(before.generation()).map(Iterator::collect);
        let Some(changed) = changed else {
            *self = Self::new();
            return self.compile_all(snapshot);
        };
        if changed.is_empty() {
            return self.engine.clone();
        }
        // Policies are processed first: they mark the existing classes that they select. Classes of new pods are
        // marked anyway.
        for reference in &changed {
            if let ObjectRef::Policy(id) = reference {
                self.change_policy(id, &before, snapshot);
            }
        }
        for reference in &changed {
            match reference {
                ObjectRef::Pod(key) => self.change_pod(key, &before, snapshot),
                ObjectRef::Namespace(name) => self.change_namespace(name, &before, snapshot),
                ObjectRef::Policy(_)
                | ObjectRef::Node(_)
                | ObjectRef::Service(_)
                | ObjectRef::EndpointSlice(_) => {}
            }
        }
        self.finish(snapshot)
    }

    fn compile_all(&mut self, snapshot: &Arc<Snapshot>) -> Arc<Engine> {
        let before = Snapshot::empty();
        for policy in snapshot.network_policies() {
            self.change_policy(&policy.id, &before, snapshot);
        }
        for policy in snapshot.cluster_policies() {
            self.change_policy(&policy.id, &before, snapshot);
        }
        for pod in snapshot.pods() {
            self.change_pod(&pod.key, &before, snapshot);
        }
        self.finish(snapshot)
    }

    /// Recompiles all marked classes and creates the engine.
    fn finish(&mut self, snapshot: &Arc<Snapshot>) -> Arc<Engine> {
        let mut compiled_lists = CompiledLists::new();
        for class in std::mem::take(&mut self.dirty) {
            let has_pods = self
                .namespaces
                .get(&class.namespace)
                .is_some_and(|residents| residents.classes.contains_key(&class));
            let compiled = has_pods.then(|| self.compile(&class, snapshot, &mut compiled_lists)).flatten();
            self.compiled.set(&class, compiled.map(Arc::new));
        }
        self.snapshot = snapshot.clone();
        self.engine = Arc::new(Engine { snapshot: snapshot.clone(), classes: self.compiled.clone() });
        self.engine.clone()
    }

    fn change_pod(&mut self, key: &str, before: &Snapshot, after: &Snapshot) {
        let class = |snapshot: &Snapshot| {
            // No policy selects host-network pods. They are compiled too, because rules may select them as peers.
            let pod = snapshot.pod(key).filter(|pod| pod.is_member() || pod.host_network);
            pod.map(|pod| pod.class.clone())
        };
        let (old, new) = (class(before), class(after));
        if old == new {
            return;
        }
        if let Some(class) = old {
            self.remove_pod(&class);
        }
        if let Some(class) = new {
            let residents = self.namespaces.entry(class.namespace.clone()).or_default();
            let pods = residents.classes.entry(class.clone()).or_default();
            *pods += 1;
            if *pods == 1 {
                self.dirty.insert(class);
            }
        }
    }

    fn remove_pod(&mut self, class: &Arc<PodClass>) {
        let Some(residents) = self.namespaces.get_mut(&class.namespace) else { return };
        let Some(pods) = residents.classes.get_mut(class) else { return };
        *pods -= 1;
        if *pods == 0 {
            residents.classes.remove(class);
            self.dirty.insert(class.clone());
            self.remove_if_empty(&class.namespace);
        }
    }

    fn change_namespace(&mut self, name: &str, before: &Snapshot, after: &Snapshot) {
        let labels = |snapshot: &Snapshot| snapshot.namespace(name).map(|namespace| namespace.labels.clone());
        if labels(before) != labels(after)
            && let Some(residents) = self.namespaces.get(name)
        {
            self.dirty.extend(residents.classes.keys().cloned());
        }
    }

    fn change_policy(&mut self, id: &PolicyRef, before: &Snapshot, after: &Snapshot) {
        if id.namespace.is_some() {
            self.change_network_policy(id, before, after);
        } else {
            self.change_cluster_policy(id, before, after);
        }
        for set in std::mem::take(&mut self.rules_compiler.new_sets) {
            self.mark_members(&set, before, after);
        }
    }

    fn change_network_policy(&mut self, id: &PolicyRef, before: &Snapshot, after: &Snapshot) {
        if let Some(old) = self.policies.remove(id) {
            self.mark_subjects(&old);
            if let Some(residents) = self.namespaces.get_mut(&old.policy.namespace) {
                residents.policies.remove(&old.policy.pods, id);
            }
            self.release(&old.sets, before, after);
            self.remove_if_empty(&old.policy.namespace);
        }
        if let Some(policy) = after.network_policy(id) {
            let new = Arc::new(self.rules_compiler.policy(policy));
            let residents = self.namespaces.entry(policy.namespace.clone()).or_default();
            residents.policies.insert(policy.pods.clone(), id.clone());
            self.mark_subjects(&new);
            self.policies.insert(id.clone(), new);
        }
    }

    fn change_cluster_policy(&mut self, id: &PolicyRef, before: &Snapshot, after: &Snapshot) {
        if let Some(old) = self.cluster_policies.remove(id) {
            self.mark_members(&old.subject, before, after);
            self.release(&old.sets, before, after);
        }
        if let Some(policy) = after.cluster_policy(id) {
            let new = self.rules_compiler.cluster_policy(policy);
            self.mark_members(&new.subject, before, after);
            self.cluster_policies.insert(id.clone(), new);
        }
    }

    fn release(&mut self, sets: &[Arc<PeerSet>], before: &Snapshot, after: &Snapshot) {
        for set in sets {
            if self.rules_compiler.peers.release(set) {
                self.mark_members(set, before, after);
            }
        }
    }

    /// Marks the classes that a policy selects.
    fn mark_subjects(&mut self, compiled: &CompiledPolicy) {
        let Some(residents) = self.namespaces.get(&compiled.policy.namespace) else { return };
        let subjects = residents.classes.keys().filter(|class| compiled.policy.pods.matches(&class.labels));
        self.dirty.extend(subjects.cloned());
    }

    /// Marks the classes in a peer set. A namespace whose labels change is marked as a whole, so the labels before and
    /// after the change are equally suitable.
    fn mark_members(&mut self, set: &PeerSet, before: &Snapshot, after: &Snapshot) {
        for (name, residents) in self.namespaces.iter().filter(|(_, residents)| !residents.classes.is_empty())
        {
            let Some(namespace) = after.namespace(name).or_else(|| before.namespace(name)) else { continue };
            if set.includes_namespace(name, &namespace.labels) {
                let members = residents.classes.keys().filter(|class| set.pods.matches(&class.labels));
                self.dirty.extend(members.cloned());
            }
        }
    }

    fn remove_if_empty(&mut self, namespace: &Arc<str>) {
        let empty = |residents: &Residents| residents.classes.is_empty() && residents.policies.is_empty();
        if self.namespaces.get(namespace).is_some_and(empty) {
            self.namespaces.remove(namespace);
        }
    }

    fn compile(
        &self,
        class: &Arc<PodClass>,
        snapshot: &Snapshot,
        compiled_lists: &mut CompiledLists,
    ) -> Option<CompiledPodClass> {
        let labels = &snapshot.namespace(&class.namespace)?.labels;
        let residents = self.namespaces.get(&class.namespace)?;
        let mut policies: Vec<&Arc<CompiledPolicy>> =
            residents.policies.matching(&class.labels).filter_map(|id| self.policies.get(id)).collect();
        policies.sort_unstable_by_key(|compiled| &compiled.policy.id);
        let cluster_policies: Vec<&CompiledClusterPolicy> = self
            .cluster_policies
            .values()
            .filter(|compiled| compiled.subject.contains(class, labels))
            .collect();
        let applicable = policies.iter().map(|compiled| compiled.policy.id.clone());
        let applicable =
            applicable.chain(cluster_policies.iter().map(|compiled| compiled.policy.id.clone())).collect();
        let (ingress, egress) = compiled_lists.entry(applicable).or_insert_with(|| {
            let compile = |direction| Arc::new(compile_direction(direction, &policies, &cluster_policies));
            (compile(PolicyDirection::Ingress), compile(PolicyDirection::Egress))
        });
        let sets = self.rules_compiler.peers.sets_of(class, labels);
        Some(CompiledPodClass {
            class: class.clone(),
            sets,
            ingress: ingress.clone(),
            egress: egress.clone(),
        })
    }
}

fn compile_direction(
    direction: PolicyDirection,
    policies: &[&Arc<CompiledPolicy>],
    cluster_policies: &[&CompiledClusterPolicy],
) -> CompiledDirection {
    let isolating = policies.iter().filter(|compiled| compiled.rules(direction).is_some());
    let rules = policies.iter().filter_map(|compiled| compiled.rules(direction)).flatten();
    let tier = |tier: Tier| -> Box<[CompiledTierRule]> {
        let in_tier = cluster_policies.iter().filter(|compiled| compiled.policy.tier == tier);
        let mut rules: Vec<_> = in_tier.flat_map(|compiled| compiled.rules(direction)).cloned().collect();
        rules.sort_by(by_priority);
        rules.into()
    };
    CompiledDirection {
        admin: tier(Tier::Admin),
        isolating: isolating.map(|compiled| compiled.policy.clone()).collect(),
        rules: rules.cloned().collect(),
        baseline: tier(Tier::Baseline),
    }
}
