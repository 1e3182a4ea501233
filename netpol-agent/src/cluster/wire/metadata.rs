//! `metadata`, as far as it matters here.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;

use super::check::{At, Invalid, is_dns_subdomain, label_key, label_value};
use crate::model::{Labels, object::Owner};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    pub(super) uid: Option<String>,
    labels: Option<BTreeMap<String, Option<String>>>,
    owner_references: Option<Vec<OwnerReference>>,
    pub(super) creation_timestamp: Option<jiff::Timestamp>,
}

#[derive(Debug, Deserialize)]
struct OwnerReference {
    kind: String,
    name: String,
    #[serde(default)]
    controller: Option<bool>,
}

impl Metadata {
    pub(super) fn name(&self) -> Result<Arc<str>, Invalid> {
        let metadata = At::root("metadata");
        let at = metadata.key("name");
        match self.name.as_deref() {
            Some(name) if is_dns_subdomain(name) => Ok(name.into()),
            Some(name) => Err(at.invalid(format!("{name:?} is no object name: use a-z, 0-9, - and ."))),
            None => Err(at.invalid("an object needs a name")),
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

    /// The controller that made it.
    pub(super) fn owner(&self) -> Option<Arc<Owner>> {
        let mut owners = self.owner_references.iter().flatten();
        let owner = owners.find(|owner| owner.controller == Some(true))?;
        Some(Arc::new(Owner { kind: owner.kind.as_str().into(), name: owner.name.as_str().into() }))
    }
}
