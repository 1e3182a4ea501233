//! What is declared of the cluster: from objects as they are written to immutable snapshots.
//!
//! ```text
//! manifests ──► wire ──► Object ──► Index ──► Arc<Snapshot>
//! or watch      (checks)            (single owner)
//! ```

pub mod api;
mod cidr_set;
mod index;
mod interner;
mod ip_history;
mod ip_index;
pub mod manifests;
mod object;
mod persistent_map;
mod snapshot;
pub mod watch;
pub mod yaml;

pub use index::Index;
pub use ip_history::IpAssignment;
pub use object::{Object, ObjectRef};
pub use persistent_map::PersistentMap;
pub use snapshot::Snapshot;
