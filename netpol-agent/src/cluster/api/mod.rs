//! Kubernetes objects as they are written, and the checks that make model values of them.
//!
//! A source of objects (a manifest, a watch) deserialises one of these and converts it. What the API server would
//! refuse is refused here as well, with the field and the remedy, so that no verdict rests on an object that could
//! not exist. What some version of it takes and can mean but one thing is taken as that.

mod admin_policy;
mod check;
mod cluster_network_policy;
mod endpoint_slice;
mod metadata;
mod namespace;
mod network_policy;
mod node;
mod object;
mod peer;
mod pod;
mod selector;
mod service;
mod workload;

pub use admin_policy::{ApiAdminNetworkPolicy, ApiBaselineAdminNetworkPolicy};
pub use check::Invalid;
pub use cluster_network_policy::ApiClusterNetworkPolicy;
pub use endpoint_slice::ApiEndpointSlice;
pub use namespace::ApiNamespace;
pub use network_policy::ApiNetworkPolicy;
pub use node::ApiNode;
pub use object::object;
pub use pod::ApiPod;
pub use service::ApiService;
pub use workload::{PodTemplate, pod_template, workload_kind};
