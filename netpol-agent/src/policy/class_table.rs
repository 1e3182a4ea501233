//! A table of the compiled policies of each pod class, cheap to copy.
//!
//! Each new engine has a copy of the table. The copies share the chunks that did not change.

use std::{ptr, sync::Arc};

use super::compiled_pod_class::CompiledPodClass;
use crate::model::PodClass;

/// The number of classes in one chunk of the table.
const CHUNK: usize = 64;

type Chunk = [Option<Arc<CompiledPodClass>>; CHUNK];

/// The compiled policies of each pod class, indexed by the slot of the class. Copies of the table share their chunks:
/// a change copies the list of chunks and one chunk.
#[derive(Clone, Debug, Default)]
pub(super) struct ClassTable {
    chunks: Arc<Vec<Arc<Chunk>>>,
    len: usize,
}

impl ClassTable {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns the compiled policies of a class. A class without a slot (it comes from no index, such as the class of
    /// a pod that does not exist) is found by a linear search.
    pub(super) fn get(&self, class: &Arc<PodClass>) -> Option<&CompiledPodClass> {
        if let Some(slot) = class.slot()
            && let Some(compiled) = self.at(slot)
            && Arc::ptr_eq(&compiled.class, class)
        {
            return Some(compiled);
        }
        self.values().find(|compiled| compiled.class == *class)
    }

    /// Returns true if another table certainly has the same compiled policies for a class.
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

    /// All compiled classes, in no particular order.
    pub(super) fn values(&self) -> impl Iterator<Item = &CompiledPodClass> {
        self.chunks.iter().flat_map(|chunk| chunk.iter().flatten()).map(|compiled| &**compiled)
    }

    /// Sets the compiled policies of a class. `None` removes them.
    pub(super) fn set(&mut self, class: &PodClass, compiled: Option<Arc<CompiledPodClass>>) {
        let Some(slot) = class.slot() else { return };
        let (chunk, offset) = (slot as usize / CHUNK, slot as usize % CHUNK);
        let chunks = Arc::make_mut(&mut self.chunks);
        while compiled.is_some() && chunks.len() <= chunk {
            chunks.push(Arc::new([const { None }; CHUNK]));
        }
        let Some(entry) = chunks.get_mut(chunk).and_then(|chunk| Arc::make_mut(chunk).get_mut(offset)) else {
            return;
        };
        // Another class may have reused the slot already.
        if compiled.is_none() && entry.as_ref().is_some_and(|current| *current.class != *class) {
            return;
        }
        self.len = self.len + usize::from(compiled.is_some()) - usize::from(entry.is_some());
        *entry = compiled;
    }
}
