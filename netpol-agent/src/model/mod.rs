//! Plain values: no I/O, no kernel, no Kubernetes client.

mod attempt;
mod drop;
mod expected;
mod finding;
mod flow;
mod labels;
pub mod object;
mod packet;
mod policy;
mod protocol;
mod veth;

pub use attempt::{Attempt, Observed};
pub use drop::{DropHook, DropReasons};
pub use expected::{Denial, Expected, NotApplicable, Undecidable};
pub use finding::{Finding, FindingKey, FindingKind, FindingStatus, Party};
pub use flow::{Endpoint, Flow, Outcome};
pub use labels::Labels;
pub use object::{ContainerPort, Namespace, Node, Pod, PodClass, PodPhase, Service};
pub use packet::{Direction, IcmpError, IcmpKind, KernelDrop, Packet, Peer, Record, Signal, Tuple};
pub use policy::{PolicyDirection, PolicyKind, PolicyRef, RuleRef};
pub use protocol::{Protocol, UnknownProtocol};
pub use veth::{Veth, Veths};
