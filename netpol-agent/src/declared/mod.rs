//! The declared state as people ask about it: from files or a cluster, with the place where each object is written, and
//! connections by whatever names people give their ends.

mod address_range;
mod answer;
mod connection;
mod endpoint_name;
mod ends;
mod nearest;
mod ports;
mod state;

pub(crate) use address_range::{AddressRange, outside};
pub use answer::{Answer, CaseAnswer, DirectionAnswer, PortAnswer};
pub use connection::ConnectionQuestion;
pub(crate) use connection::judge;
pub use endpoint_name::EndpointName;
pub use ends::UnknownEndpoint;
pub(crate) use ends::{selects, target};
pub use nearest::distance;
pub use ports::{permitted_ports, port_text};
pub use state::DeclaredState;
