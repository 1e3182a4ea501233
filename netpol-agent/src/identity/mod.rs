//! Who had which address, and when: what the API told of pods, nodes and Services, and what the node's pod interfaces show.
//!
//! ```text
//! API objects ──► AddressIndex ──► Addresses ──┐
//!                                              ├──► resolve_at(address, moment) ──► Resolution
//! netlink ──────► PodInterfaces ───────────────┘
//! ```

mod addresses;
mod interfaces;
mod ip_history;
mod ip_index;
mod resolve;

pub use addresses::{AddressIndex, Addresses};
pub use interfaces::{AssignedAt, PodInterface, PodInterfaces};
pub use ip_history::IpAssignment;
pub use resolve::{IP_REPORT_TIMEOUT, Resolution, is_api_server, own_node, resolve, resolve_at};
