//! The vocabulary of the agent: the types that the other modules pass to one another.
//!
//! They are plain values. Nothing in this module does I/O, talks to the kernel or uses a Kubernetes client.
//! Start with [`Attempt`] (an observed connection attempt), [`Expected`] (what the policies say), [`Flow`] (both,
//! compared) and
//! [`Finding`] (a proven error of enforcement).

mod api_kind;
mod attempt;
pub mod cluster_policy;
mod conntrack;
mod drop;
mod expected;
mod field_path;
mod finding;
mod flow;
mod kind;
mod labels;
mod loss;
mod metadata_address;
mod monotonic;
pub mod network_policy;
pub mod object;
mod output;
mod packet;
mod persistent_map;
mod pod_class;
mod policy;
mod protocol;
mod selector;
mod status;
mod summary;

pub use api_kind::ApiKind;
pub use attempt::{Attempt, Observed};
pub use cluster_policy::ClusterPolicy;
pub use conntrack::{ConntrackEntry, ConntrackQuery};
pub use drop::{DropHook, DropReasons};
pub use expected::{Denial, Expected, NotApplicable, Undecidable};
pub use field_path::{FieldPath, Step};
pub use finding::{Finding, FindingEndpoint, FindingKey, FindingKind, FindingStatus};
pub use flow::{Endpoint, Flow, Outcome};
pub use kind::{Kinds, ObjectKind};
pub use labels::Labels;
pub use loss::LossCause;
pub use metadata_address::{METADATA_ADDRESSES, is_metadata_address};
pub use monotonic::Monotonic;
pub use network_policy::NetworkPolicy;
pub use object::{ContainerPort, EndpointSlice, Namespace, Node, Pod, PodPhase, Service, Workload};
pub use output::Output;
pub use packet::{
    Direction, IcmpError, IcmpKind, KernelDrop, Packet, PacketKind, Place, Record, SocketAddress, Tuple,
};
pub use persistent_map::PersistentMap;
pub use pod_class::PodClass;
pub use policy::{PolicyDirection, PolicyKind, PolicyRef, RuleRef};
pub use protocol::{Protocol, UnknownProtocol};
pub use selector::{LabelSelector, Requirement, Values};
pub use status::{Nodes, Status};
pub use summary::Summary;
