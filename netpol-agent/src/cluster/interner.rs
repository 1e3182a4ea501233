//! One copy of what many pods have in common.

use std::{collections::HashSet, hash::Hash, sync::Arc};

use crate::model::{Pod, PodClass};

/// Shares equal pod classes and names.
#[derive(Debug, Default)]
pub(super) struct Interner {
    classes: Shared<PodClass>,
    names: Shared<str>,
    slots: Slots,
}

/// Small numbers, each given to one class at a time.
#[derive(Debug, Default)]
struct Slots {
    free: Vec<u32>,
    next: u32,
}

impl Slots {
    fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        })
    }
}

impl Interner {
    /// The same pod, with its shared parts from the pool.
    pub(super) fn share(&mut self, pod: Arc<Pod>) -> Arc<Pod> {
        let mut pod = Arc::unwrap_or_clone(pod);
        pod.class = match self.classes.find(&pod.class) {
            Some(known) => known,
            None => {
                let slot = self.slots.take();
                let class = Arc::new(self.names.class(&pod.class).with_slot(slot));
                // Those that nobody has any more give their slots back.
                self.classes.add(class, |gone| self.slots.free.extend(gone.slot()))
            }
        };
        pod.node = pod.node.map(|node| self.names.get(&node));
        Arc::new(pod)
    }
}

impl Shared<str> {
    /// The same class made of shared names.
    fn class(&mut self, class: &PodClass) -> PodClass {
        let labels = class.labels.shared(|text| self.get(text));
        PodClass::new(self.get(&class.namespace), labels, class.ports.clone())
    }
}

/// Values that are dropped, in time, once nobody else has them.
#[derive(Debug)]
struct Shared<T: ?Sized> {
    values: HashSet<Arc<T>>,
    sweep_at: usize,
}

impl<T: ?Sized> Default for Shared<T> {
    fn default() -> Self {
        Self { values: HashSet::new(), sweep_at: 1024 }
    }
}

impl<T: ?Sized + Eq + Hash> Shared<T> {
    fn find(&self, value: &Arc<T>) -> Option<Arc<T>> {
        self.values.get(value).cloned()
    }

    fn get(&mut self, value: &Arc<T>) -> Arc<T> {
        self.find(value).unwrap_or_else(|| self.add(value.clone(), |_| {}))
    }

    fn add(&mut self, value: Arc<T>, mut gone: impl FnMut(&T)) -> Arc<T> {
        if self.values.len() >= self.sweep_at {
            self.values.retain(|value| {
                let is_used = Arc::strong_count(value) > 1;
                if !is_used {
                    gone(value);
                }
                is_used
            });
            self.sweep_at = 1024.max(self.values.len() * 2);
        }
        self.values.insert(value.clone());
        value
    }
}
