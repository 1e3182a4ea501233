//! An object of any kind.

use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use super::{
    ApiAdminNetworkPolicy, ApiBaselineAdminNetworkPolicy, ApiClusterNetworkPolicy, ApiEndpointSlice,
    ApiNamespace, ApiNetworkPolicy, ApiNode, ApiPod, ApiService, Invalid,
};
use crate::{cluster::Object, model::ObjectKind};

/// Reads and checks an object of a kind.
///
/// # Errors
///
/// Outside, where it does not have the form of its kind; inside, where it does and the API server would refuse it.
pub fn object<'de, D: Deserializer<'de>>(
    kind: ObjectKind,
    source: D,
) -> Result<Result<Object, Invalid>, D::Error> {
    Ok(match kind {
        ObjectKind::Pod => read::<ApiPod, _, _>(source)?.map(|pod| Object::Pod(Arc::new(pod))),
        ObjectKind::Namespace => read::<ApiNamespace, _, _>(source)?.map(|n| Object::Namespace(Arc::new(n))),
        ObjectKind::Node => read::<ApiNode, _, _>(source)?.map(|node| Object::Node(Arc::new(node))),
        ObjectKind::Service => read::<ApiService, _, _>(source)?.map(|s| Object::Service(Arc::new(s))),
        ObjectKind::EndpointSlice => {
            read::<ApiEndpointSlice, _, _>(source)?.map(|slice| Object::EndpointSlice(Arc::new(slice)))
        }
        ObjectKind::NetworkPolicy => {
            read::<ApiNetworkPolicy, _, _>(source)?.map(|policy| Object::NetworkPolicy(Arc::new(policy)))
        }
        ObjectKind::ClusterNetworkPolicy => {
            read::<ApiClusterNetworkPolicy, _, _>(source)?.map(|p| Object::ClusterPolicy(Arc::new(p)))
        }
        ObjectKind::AdminNetworkPolicy => {
            read::<ApiAdminNetworkPolicy, _, _>(source)?.map(|p| Object::ClusterPolicy(Arc::new(p)))
        }
        ObjectKind::BaselineAdminNetworkPolicy => {
            read::<ApiBaselineAdminNetworkPolicy, _, _>(source)?.map(|p| Object::ClusterPolicy(Arc::new(p)))
        }
    })
}

fn read<'de, W, M, D>(source: D) -> Result<Result<M, Invalid>, D::Error>
where
    W: Deserialize<'de>,
    M: TryFrom<W, Error = Invalid>,
    D: Deserializer<'de>,
{
    Ok(M::try_from(W::deserialize(source)?))
}
