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
pub mod manifests;
mod object;
mod snapshot;
mod sync_status;
pub mod watch;
pub mod yaml;

pub use index::Index;
pub use object::{Object, ObjectRef};
pub use snapshot::Snapshot;
pub use sync_status::{SyncStatus, Usability};
