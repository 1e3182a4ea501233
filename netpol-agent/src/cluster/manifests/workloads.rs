//! The pods of workloads that are declared by their templates alone.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{Manifests, Origin};
use crate::{
    cluster::{Object, ObjectRef, api::PodTemplate},
    model::{Pod, Workload},
};

/// A workload, and where it is written.
#[derive(Debug)]
pub(super) struct WrittenWorkload {
    pub(super) template: PodTemplate,
    pub(super) origin: Origin,
}

/// Adds a pod for each workload that has none yet, so that none counts twice: neither one whose pods are there, nor the
/// ReplicaSet of a Deployment that is there.
pub(super) fn add_pods(manifests: &mut Manifests) {
    let written = std::mem::take(&mut manifests.workloads);
    let mut present: HashSet<(Arc<str>, Workload)> = manifests
        .objects
        .iter()
        .filter_map(|object| match object {
            Object::Pod(pod) => Some((pod.namespace().clone(), Workload::clone(pod.workload.as_ref()?))),
            _ => None,
        })
        .collect();
    let with_owners = written.iter().map(|w| &w.template).filter_map(|template| {
        let owner = (template.pod.namespace().clone(), Workload::clone(template.owner.as_ref()?));
        let own = (template.pod.namespace().clone(), template.workload.clone());
        present.contains(&own).then_some(owner)
    });
    let with_owners: Vec<_> = with_owners.collect();
    present.extend(with_owners);
    let declared: HashSet<(Arc<str>, Workload)> =
        written.iter().map(|w| (w.template.pod.namespace().clone(), w.template.workload.clone())).collect();
    let counts = |written: &WrittenWorkload| {
        let template = &written.template;
        let of = |workload: &Workload| (template.pod.namespace().clone(), workload.clone());
        let is_extra = template.owner.as_ref().is_some_and(|owner| {
            present.contains(&of(owner)) || declared.contains(&of(owner)) || template.is_scaled_to_zero
        });
        !is_extra && !present.contains(&of(&template.workload))
    };
    let written: Vec<WrittenWorkload> = written.into_iter().filter(counts).collect();
    let mut names: HashMap<Arc<str>, usize> = HashMap::new();
    for workload in &written {
        *names.entry(workload.template.pod.key.clone()).or_default() += 1;
    }
    for WrittenWorkload { template, origin } in written {
        let key = &template.pod.key;
        let is_taken = manifests.places.contains_key(&ObjectRef::Pod(key.clone()))
            || names.get(key).is_some_and(|count| *count > 1);
        let pod = if is_taken { renamed(&template) } else { template.pod };
        let object = Object::Pod(Arc::new(pod));
        let reference = object.reference();
        if manifests.places.insert(reference.clone(), manifests.objects.len()).is_none() {
            manifests.origins.insert(reference, origin);
            manifests.objects.push(object);
        }
    }
}

/// The pod under the workload's kind and name, where others have the name alone.
fn renamed(template: &PodTemplate) -> Pod {
    let Workload { kind, name } = &template.workload;
    let key = format!("{}/{}/{name}", template.pod.namespace(), kind.to_lowercase());
    Pod { key: key.into(), ..template.pod.clone() }
}
