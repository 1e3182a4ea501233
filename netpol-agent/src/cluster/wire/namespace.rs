//! A Namespace as it is written.

use serde::Deserialize;

use super::{check::Invalid, metadata::Metadata};
use crate::model::{self, object::NamespaceOrigin};

/// `v1` Namespace.
#[derive(Debug, Deserialize)]
pub struct Namespace {
    metadata: Metadata,
}

impl TryFrom<Namespace> for model::Namespace {
    type Error = Invalid;

    fn try_from(wire: Namespace) -> Result<Self, Invalid> {
        let name = wire.metadata.name()?;
        Ok(Self::new(name, &wire.metadata.labels()?, NamespaceOrigin::Declared))
    }
}
