//! The pods' network namespaces: found in folders such as `/run/netns`, and entered by a helper process.
//!
//! Entering a namespace needs `CAP_SYS_ADMIN`. Only the helper has it ([`Helper`]); it opens netlink sockets and
//! attaches programs in namespaces, and does nothing else. The agent, with its parsers and servers, gives the capability
//! up ([`Helper::spawn`]).

mod folders;
mod helper;
mod links;
mod message;
mod network_namespace;
mod server;

pub(super) use folders::Folders;
pub use helper::{Helper, HelperError};
pub(super) use links::{LinkState, Links, follow};
pub use network_namespace::NetworkNamespace;
pub use server::serve;
