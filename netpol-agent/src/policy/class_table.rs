//! What was compiled for each class of pods.

use std::{ptr, sync::Arc};

use super::compiled_pod_class::CompiledPodClass;
use crate::model::PodClass;

/// Classes in one piece of the table.
const CHUNK: usize = 64;

type Chunk = [Option<Arc<CompiledPodClass>>; CHUNK];

/// What was compiled for each class, by the slot of the class. Copies share what they have in common: a change copies the
/// list of chunks and one of them.
#[derive(Clone, Debug, Default)]
pub(super) struct ClassTable {
    chunks: Arc<Vec<Arc<Chunk>>>,
    len: usize,
}

impl ClassTable {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// What was compiled for a class. One that comes from no index, such as that of a pod that does not exist, is searched
    /// for.
    pub(super) fn get(&self, class: &Arc<PodClass>) -> Option<&CompiledPodClass> {
        if let Some(slot) = class.slot()
            && let Some(compiled) = self.at(slot)
            && Arc::ptr_eq(&compiled.class, class)
        {
            return Some(compiled);
        }
        self.values().find(|compiled| compiled.class == *class)
    }

    /// Whether another table surely has the same for a class.
    pub(super) fn is_same_for(&self, other: &Self, class: &PodClass) -> bool {
        if Arc::ptr_eq(&self.chunks, &other.chunks) {
            return true;
        }
        let at = |table: &Self| class.slot().and_then(|slot| table.at(slot)).map(ptr::from_ref);
        at(self).is_some_and(|own| at(other) == Some(own))
    }

    fn at(&self, slot: u32) -> Option<&CompiledPodClass> {
        let slot = slot as usize;
        self.chunks.get(slot / CHUNK)?.get(slot % CHUNK)?.as_deref()
    }

    /// All that was compiled, in no order that means anything.
    pub(super) fn values(&self) -> impl Iterator<Item = &CompiledPodClass> {
        self.chunks.iter().flat_map(|chunk| chunk.iter().flatten()).map(|compiled| &**compiled)
    }

    /// Sets, or with `None` removes, what was compiled for a class.
    pub(super) fn set(&mut self, class: &PodClass, compiled: Option<Arc<CompiledPodClass>>) {
        let Some(slot) = class.slot() else { return };
        let (chunk, place) = (slot as usize / CHUNK, slot as usize % CHUNK);
        let chunks = Arc::make_mut(&mut self.chunks);
        while compiled.is_some() && chunks.len() <= chunk {
            chunks.push(Arc::new([const { None }; CHUNK]));
        }
        let Some(place) = chunks.get_mut(chunk).and_then(|chunk| Arc::make_mut(chunk).get_mut(place)) else {
            return;
        };
        // The slot may have passed on to another class already.
        if compiled.is_none() && place.as_ref().is_some_and(|there| *there.class != *class) {
            return;
        }
        self.len = self.len + usize::from(compiled.is_some()) - usize::from(place.is_some());
        *place = compiled;
    }
}
