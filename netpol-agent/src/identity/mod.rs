//! Finds out which pod, node or Service had an address at a point in time.
//!
//! There are two sources: the API's reports about pods, nodes and Services ([`AddressIndex`]), and this node's pod
//! interfaces ([`PodInterfaces`]). The API reports late; an interface shows when its pod was created. [`resolve_at`]
//! combines the two.
//!
//! ```text
//! API objects ──► AddressIndex ──► Addresses ──┐
//!                                              ├──► resolve_at(address, time) ──► Resolution
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
