//! The declared state as people ask about it: from files or a cluster, with the place where each object is written, and the
//! ends of connections by their names.

mod answer;
mod endpoint_name;
mod nearest;
mod state;

pub use answer::{Answer, DirectionAnswer};
pub use endpoint_name::{EndpointName, UnknownEndpoint};
pub use nearest::distance;
pub use state::DeclaredState;
