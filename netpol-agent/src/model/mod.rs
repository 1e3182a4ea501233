//! Plain values: no I/O, no kernel, no Kubernetes client.

pub mod cluster_policy;
mod expected;
mod field_path;
mod labels;
pub mod network_policy;
pub mod object;
mod pod_class;
mod policy;
mod protocol;
mod selector;

pub use cluster_policy::ClusterPolicy;
pub use expected::{Denial, Expected, NotApplicable, Undecidable};
pub use field_path::{FieldPath, Step};
pub use labels::Labels;
pub use network_policy::NetworkPolicy;
pub use object::{ContainerPort, Namespace, Node, Pod, PodPhase, Service};
pub use pod_class::PodClass;
pub use policy::{PolicyDirection, PolicyKind, PolicyRef, RuleRef};
pub use protocol::{Protocol, UnknownProtocol};
pub use selector::{LabelSelector, Requirement, Values};
