//! A workload as it is written: an object with a template that its pods are made from.

use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use super::{
    check::Invalid,
    metadata::ObjectMeta,
    pod::{PodSpec, declared_ports},
};
use crate::model::{FieldPath, Pod, PodClass, Workload};

/// The pods that a workload makes, as one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodTemplate {
    /// The workload itself.
    pub workload: Workload,
    /// What made the workload: the Deployment of a ReplicaSet, the CronJob of a Job.
    pub owner: Option<Arc<Workload>>,
    /// Whether it is told to run no pod.
    pub is_scaled_to_zero: bool,
    /// The pod, under the workload's name. It is declared, and has no address.
    pub pod: Pod,
}

#[derive(Debug, Deserialize)]
struct ApiWorkload {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Option<Spec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    replicas: Option<i64>,
    template: Option<Template>,
    job_template: Option<JobTemplate>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct JobTemplate {
    spec: Option<JobSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct JobSpec {
    template: Option<Template>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Template {
    metadata: Option<ObjectMeta>,
    spec: Option<PodSpec>,
}

/// The kind of a workload, by its API version and kind; `None` for any other object.
#[must_use]
pub fn workload_kind(api_version: &str, kind: &str) -> Option<&'static str> {
    const KINDS: [(&str, &str); 7] = [
        ("apps", "Deployment"),
        ("apps", "StatefulSet"),
        ("apps", "DaemonSet"),
        ("apps", "ReplicaSet"),
        ("", "ReplicationController"),
        ("batch", "Job"),
        ("batch", "CronJob"),
    ];
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    // Where apps and batch came from.
    let group = if group == "extensions" { "apps" } else { group };
    KINDS.into_iter().find(|known| *known == (group, kind)).map(|(_, kind)| kind)
}

/// Reads the pods of a workload; `None` where no template is written, as in a patch.
///
/// # Errors
///
/// Outside, where it does not have the form of its kind; inside, where it does and the API server would refuse it.
pub fn pod_template<'de, D: Deserializer<'de>>(
    kind: &str,
    source: D,
) -> Result<Result<Option<PodTemplate>, Invalid>, D::Error> {
    let api = ApiWorkload::deserialize(source)?;
    Ok(checked(kind, api))
}

fn checked(kind: &str, api: ApiWorkload) -> Result<Option<PodTemplate>, Invalid> {
    let (namespace, name) = (api.metadata.namespace()?, api.metadata.name_or_generated()?);
    let spec = api.spec.unwrap_or_default();
    let (template, path) = match (spec.template, spec.job_template) {
        (Some(template), _) => (template, "spec.template"),
        (None, Some(job)) => match job.spec.unwrap_or_default().template {
            Some(template) => (template, "spec.jobTemplate.spec.template"),
            None => return Ok(None),
        },
        (None, None) => return Ok(None),
    };
    let inside = |error: Invalid| {
        let steps = FieldPath::parse(path).0.into_iter().chain(error.path.0);
        Invalid { path: FieldPath(steps.collect()), reason: error.reason }
    };
    let mut labels = template.metadata.unwrap_or_default().labels().map_err(inside)?;
    if kind == "Job" {
        // The controller adds them, and policies select by them.
        labels = labels.with("job-name", &name).with("batch.kubernetes.io/job-name", &name);
    }
    let pod_spec = template.spec.unwrap_or_default();
    let host_network = pod_spec.host_network();
    let ports = declared_ports(pod_spec).map_err(inside)?;
    let workload = Workload { kind: kind.into(), name: (*name).into() };
    let owner = api.metadata.workload();
    let class = PodClass::new(namespace.clone(), labels, ports.into());
    let pod = Pod {
        host_network,
        workload: Some(owner.clone().unwrap_or_else(|| Arc::new(workload.clone()))),
        ..Pod::declared(format!("{namespace}/{name}"), class)
    };
    Ok(Some(PodTemplate { workload, owner, is_scaled_to_zero: spec.replicas == Some(0), pod }))
}
