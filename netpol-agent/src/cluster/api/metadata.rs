//! `metadata`, as far as it matters here.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;

use super::check::{At, Invalid, is_dns_subdomain, label_key, label_value};
use crate::model::{Labels, Workload};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ObjectMeta {
    name: Option<String>,
    generate_name: Option<String>,
    namespace: Option<String>,
    pub(super) uid: Option<String>,
    labels: Option<BTreeMap<String, Option<String>>>,
    owner_references: Option<Vec<OwnerReference>>,
    pub(super) creation_timestamp: Option<jiff::Timestamp>,
    pub(super) deletion_timestamp: Option<jiff::Timestamp>,
}

#[derive(Debug, Deserialize)]
struct OwnerReference {
    kind: String,
    name: String,
    #[serde(default)]
    controller: Option<bool>,
}

impl ObjectMeta {
    pub(super) fn name(&self) -> Result<Arc<str>, Invalid> {
        let metadata = At::root("metadata");
        let at = metadata.key("name");
        match self.name.as_deref() {
            Some(name) if is_dns_subdomain(name) => Ok(name.into()),
            Some(name) => Err(at.invalid(format!("{name:?} is no object name: use a-z, 0-9, - and ."))),
            None => Err(at.invalid("an object needs a name")),
        }
    }

    /// The name, or the beginning of the one that the API server will make up (`generateName`).
    pub(super) fn name_or_generated(&self) -> Result<Arc<str>, Invalid> {
        let generated = self.generate_name.as_deref().map(|name| name.trim_end_matches('-'));
        match generated {
            Some(name) if self.name.is_none() && is_dns_subdomain(name) => Ok(name.into()),
            _ => self.name(),
        }
    }

    /// The namespace; `default` where none is given, as `kubectl` has it.
    pub(super) fn namespace(&self) -> Result<Arc<str>, Invalid> {
        match self.namespace.as_deref() {
            None | Some("") => Ok("default".into()),
            Some(name) if is_dns_subdomain(name) => Ok(name.into()),
            Some(name) => {
                let metadata = At::root("metadata");
                Err(metadata
                    .key("namespace")
                    .invalid(format!("{name:?} is no namespace: use a-z, 0-9 and -")))
            }
        }
    }

    pub(super) fn labels(&self) -> Result<Labels, Invalid> {
        let metadata = At::root("metadata");
        let at = metadata.key("labels");
        let pairs = self.labels.iter().flatten();
        let pairs = pairs.map(|(key, value)| {
            let value = value.as_deref().unwrap_or_default();
            let here = at.key(key);
            label_key(key, here)?;
            label_value(value, here)?;
            Ok((key.as_str(), value))
        });
        pairs.collect()
    }

    /// The controller that made it, and what made that, as far as names tell.
    pub(super) fn workload(&self) -> Option<Arc<Workload>> {
        let mut owners = self.owner_references.iter().flatten();
        let owner = owners.find(|owner| owner.controller == Some(true))?;
        let (kind, name) = match owner.kind.as_str() {
            "ReplicaSet" => self.deployment(&owner.name).map(|name| ("Deployment", name)),
            "Job" => cron_job(&owner.name).map(|name| ("CronJob", name)),
            _ => None,
        }
        .unwrap_or((&owner.kind, &owner.name));
        Some(Arc::new(Workload { kind: kind.into(), name: name.into() }))
    }

    /// The Deployment of a ReplicaSet: its name without the hash, which its pods bear as a label, too.
    fn deployment<'a>(&self, replica_set: &'a str) -> Option<&'a str> {
        let hash = self.labels.as_ref()?.get("pod-template-hash")?.as_deref()?;
        replica_set.strip_suffix(hash)?.strip_suffix('-')
    }
}

/// No cluster of today has CronJobs from before this, in minutes since 1970 (June 2019); dates such as 20240131 are less.
const OLDEST: u64 = 26_000_000;

/// The CronJob of a Job: its name without the scheduled time, which is in minutes since 1970 (8 digits), and was in
/// seconds (10 digits) before Kubernetes 1.21.
fn cron_job(job: &str) -> Option<&str> {
    let (name, time) = job.rsplit_once('-')?;
    let number: u64 = time.parse().ok().filter(|_| time.bytes().all(|byte| byte.is_ascii_digit()))?;
    let minutes = match time.len() {
        8 => number,
        10 => number / 60,
        _ => return None,
    };
    (minutes >= OLDEST && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_by_name() {
        for (kind, name, label, expected) in [
            ("ReplicaSet", "web-5d9c7b", Some("5d9c7b"), ("Deployment", "web")),
            ("ReplicaSet", "web-5d9c7b", None, ("ReplicaSet", "web-5d9c7b")),
            ("ReplicaSet", "by-hand", Some("5d9c7b"), ("ReplicaSet", "by-hand")),
            ("Job", "backup-28912345", None, ("CronJob", "backup")),
            ("Job", "backup-1611111111", None, ("CronJob", "backup")),
            ("Job", "backup-20240131", None, ("Job", "backup-20240131")),
            ("Job", "backup-0611111111", None, ("Job", "backup-0611111111")),
            ("Job", "migrate-2024", None, ("Job", "migrate-2024")),
            ("Job", "migrate", None, ("Job", "migrate")),
            ("Job", "-28912345", None, ("Job", "-28912345")),
            ("StatefulSet", "db", None, ("StatefulSet", "db")),
            ("DaemonSet", "proxy", None, ("DaemonSet", "proxy")),
        ] {
            let labels = label.map(|hash| BTreeMap::from([("pod-template-hash".into(), Some(hash.into()))]));
            let owner = OwnerReference { kind: kind.into(), name: name.into(), controller: Some(true) };
            let metadata =
                ObjectMeta { labels, owner_references: Some(vec![owner]), ..ObjectMeta::default() };
            let workload = metadata.workload().unwrap();
            assert_eq!((&*workload.kind, &*workload.name), expected, "{kind} {name}");
        }
    }
}
