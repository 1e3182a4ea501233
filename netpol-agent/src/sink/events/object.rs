//! An Event as the API takes it (`events.k8s.io/v1`).

use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event as Object},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};

use super::PodEvent;
use crate::model::{Pod, PolicyRef};

/// Who tells it.
pub(super) const REPORTER: &str = "netpol-agent";

/// What the API takes of an instance's name, in bytes.
const LONGEST_INSTANCE: usize = 128;

/// The object, under a name of its own: where an attempt to write it is repeated, it is still the same Event.
pub(super) fn object(event: &PodEvent, instance: &str) -> Object {
    let PodEvent { r#type, reason, regarding, related, related_version, note, time } = event;
    let name = format!("{REPORTER}.{:x}.{:08x}", time.as_nanosecond(), fastrand::u32(..));
    Object {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(regarding.namespace().to_string()),
            ..ObjectMeta::default()
        },
        type_: Some((*r#type).to_owned()),
        reason: Some((*reason).to_owned()),
        action: Some("Connect".to_owned()),
        note: Some(note.clone()),
        regarding: Some(pod(regarding)),
        related: related.as_ref().map(|related| policy(related, related_version.as_deref())),
        event_time: Some(MicroTime(*time)),
        reporting_controller: Some(REPORTER.to_owned()),
        reporting_instance: Some(instance[..instance.floor_char_boundary(LONGEST_INSTANCE)].to_owned()),
        ..Object::default()
    }
}

/// By its uid, too: that is how `kubectl describe` finds what is told of it.
fn pod(pod: &Pod) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: Some(pod.namespace().to_string()),
        name: Some(pod.name().to_owned()),
        uid: Some(pod.uid.to_string()),
        ..ObjectReference::default()
    }
}

/// In the version by which the server has it: that of another one would lead nowhere.
fn policy(policy: &PolicyRef, api_version: Option<&str>) -> ObjectReference {
    ObjectReference {
        api_version: api_version.map(str::to_owned),
        kind: Some(format!("{:?}", policy.kind)),
        namespace: policy.namespace.as_deref().map(str::to_owned),
        name: Some(policy.name.to_string()),
        ..ObjectReference::default()
    }
}
