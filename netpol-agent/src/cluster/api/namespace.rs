//! A Namespace as it is written.

use serde::Deserialize;

use super::{check::Invalid, metadata::ObjectMeta};
use crate::model::{self, object::NamespaceOrigin};

/// `v1` Namespace.
#[derive(Debug, Deserialize)]
pub struct ApiNamespace {
    metadata: ObjectMeta,
}

impl TryFrom<ApiNamespace> for model::Namespace {
    type Error = Invalid;

    fn try_from(api: ApiNamespace) -> Result<Self, Invalid> {
        let name = api.metadata.name()?;
        Ok(Self::new(name, &api.metadata.labels()?, NamespaceOrigin::Declared))
    }
}
