//! Snapshots to engines, change by change.

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

/// Compiles each snapshot from what it made of the one before: only what a change touches is compiled anew.
#[derive(Debug)]
pub struct Compiler {
    snapshot: Arc<Snapshot>,
    engine: Arc<Engine>,
    compiled: ClassTable,
    /// What is in each namespace that has pods or policies.
    namespaces: HashMap<Arc<str>, Residents>,
    policies: HashMap<PolicyRef, Arc<CompiledPolicy>>,
    cluster_policies: BTreeMap<PolicyRef, CompiledClusterPolicy>,
    rules_compiler: RuleCompiler,
    /// Classes whose profile is out of date.
    dirty: HashSet<Arc<PodClass>>,
}

/// What is in a namespace.
#[derive(Debug, Default)]
struct Residents {
    /// The classes of its pods, and how many there are of each.
    classes: HashMap<Arc<PodClass>, usize>,
    /// Its policies, by the pods that they isolate.
    policies: SelectorIndex<PolicyRef>,
}

/// What was made of each list of policies: classes that the same policies concern share it.
type Made = HashMap<Vec<PolicyRef>, (Arc<CompiledDirection>, Arc<CompiledDirection>)>;

impl Default for Compiler {
    fn default() -> Self {
        Self::new()
    }
}

impl Compiler {
    /// A compiler that has seen nothing yet.
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

    /// The engine for a snapshot, which must come from the same index as the one before, and not be older.
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
        // Policies first: they mark the pods that they concern, and pods that are new are marked anyway.
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

    /// Brings all classes up to date.
    fn finish(&mut self, snapshot: &Arc<Snapshot>) -> Arc<Engine> {
        let mut made = Made::new();
        for class in std::mem::take(&mut self.dirty) {
            let alive =
                self.namespaces.get(&class.namespace).is_some_and(|here| here.classes.contains_key(&class));
            let compiled = alive.then(|| self.compile(&class, snapshot, &mut made)).flatten();
            self.compiled.set(&class, compiled.map(Arc::new));
        }
        self.snapshot = snapshot.clone();
        self.engine = Arc::new(Engine { snapshot: snapshot.clone(), classes: self.compiled.clone() });
        self.engine.clone()
    }

    fn change_pod(&mut self, key: &str, before: &Snapshot, after: &Snapshot) {
        let class = |snapshot: &Snapshot| {
            // Those in their nodes' networks are no subjects, and it counts which rules name them as peers.
            let pod = snapshot.pod(key).filter(|pod| pod.is_member() || pod.host_network);
            pod.map(|pod| pod.class.clone())
        };
        let (old, new) = (class(before), class(after));
        if old == new {
            return;
        }
        if let Some(class) = old {
            self.take_pod(&class);
        }
        if let Some(class) = new {
            let here = self.namespaces.entry(class.namespace.clone()).or_default();
            let pods = here.classes.entry(class.clone()).or_default();
            *pods += 1;
            if *pods == 1 {
                self.dirty.insert(class);
            }
        }
    }

    fn take_pod(&mut self, class: &Arc<PodClass>) {
        let Some(here) = self.namespaces.get_mut(&class.namespace) else { return };
        let Some(pods) = here.classes.get_mut(class) else { return };
        *pods -= 1;
        if *pods == 0 {
            here.classes.remove(class);
            self.dirty.insert(class.clone());
            self.forget_if_empty(&class.namespace);
        }
    }

    fn change_namespace(&mut self, name: &str, before: &Snapshot, after: &Snapshot) {
        let labels = |snapshot: &Snapshot| snapshot.namespace(name).map(|namespace| namespace.labels.clone());
        if labels(before) != labels(after)
            && let Some(here) = self.namespaces.get(name)
        {
            self.dirty.extend(here.classes.keys().cloned());
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
            if let Some(here) = self.namespaces.get_mut(&old.policy.namespace) {
                here.policies.remove(&old.policy.pods, id);
            }
            self.release(&old.sets, before, after);
            self.forget_if_empty(&old.policy.namespace);
        }
        if let Some(policy) = after.network_policy(id) {
            let new = Arc::new(self.rules_compiler.policy(policy));
            let here = self.namespaces.entry(policy.namespace.clone()).or_default();
            here.policies.insert(policy.pods.clone(), id.clone());
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

    /// Marks the classes that a policy isolates.
    fn mark_subjects(&mut self, compiled: &CompiledPolicy) {
        let Some(here) = self.namespaces.get(&compiled.policy.namespace) else { return };
        let subjects = here.classes.keys().filter(|class| compiled.policy.pods.matches(&class.labels));
        self.dirty.extend(subjects.cloned());
    }

    /// Marks the classes in a set. A namespace whose labels change is marked as a whole, so either state will do.
    fn mark_members(&mut self, set: &PeerSet, before: &Snapshot, after: &Snapshot) {
        for (name, here) in self.namespaces.iter().filter(|(_, here)| !here.classes.is_empty()) {
            let Some(namespace) = after.namespace(name).or_else(|| before.namespace(name)) else { continue };
            if set.is_from(name, &namespace.labels) {
                let members = here.classes.keys().filter(|class| set.pods.matches(&class.labels));
                self.dirty.extend(members.cloned());
            }
        }
    }

    fn forget_if_empty(&mut self, namespace: &Arc<str>) {
        let empty = |here: &Residents| here.classes.is_empty() && here.policies.is_empty();
        if self.namespaces.get(namespace).is_some_and(empty) {
            self.namespaces.remove(namespace);
        }
    }

    fn compile(
        &self,
        class: &Arc<PodClass>,
        snapshot: &Snapshot,
        made: &mut Made,
    ) -> Option<CompiledPodClass> {
        let labels = &snapshot.namespace(&class.namespace)?.labels;
        let here = self.namespaces.get(&class.namespace)?;
        let mut policies: Vec<&Arc<CompiledPolicy>> =
            here.policies.matching(&class.labels).filter_map(|id| self.policies.get(id)).collect();
        policies.sort_unstable_by_key(|compiled| &compiled.policy.id);
        let in_tiers: Vec<&CompiledClusterPolicy> = self
            .cluster_policies
            .values()
            .filter(|compiled| compiled.subject.contains(class, labels))
            .collect();
        let concerned = policies.iter().map(|compiled| compiled.policy.id.clone());
        let concerned = concerned.chain(in_tiers.iter().map(|compiled| compiled.policy.id.clone())).collect();
        let (ingress, egress) = made.entry(concerned).or_insert_with(|| {
            let side = |direction| Arc::new(side(direction, &policies, &in_tiers));
            (side(PolicyDirection::Ingress), side(PolicyDirection::Egress))
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

fn side(
    direction: PolicyDirection,
    policies: &[&Arc<CompiledPolicy>],
    tiers: &[&CompiledClusterPolicy],
) -> CompiledDirection {
    let isolating = policies.iter().filter(|compiled| compiled.rules(direction).is_some());
    let rules = policies.iter().filter_map(|compiled| compiled.rules(direction)).flatten();
    let tier = |tier: Tier| -> Box<[CompiledTierRule]> {
        let here = tiers.iter().filter(|compiled| compiled.policy.tier == tier);
        let mut rules: Vec<_> = here.flat_map(|compiled| compiled.rules(direction)).cloned().collect();
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
