//! What is declared of the cluster: from objects as they are written to immutable snapshots.
//!
//! ```text
//! manifests ──► wire ──► Object ──► Index ──► Arc<Snapshot>
//! or watch      (checks)            (single owner)
//! ```

mod address_book;
mod history;
mod index;
pub mod manifests;
mod map;
mod object;
mod pool;
mod ranges;
mod snapshot;
pub mod watch;
pub mod wire;
pub mod yaml;

pub use history::Tenure;
pub use index::Index;
pub use map::Map;
pub use object::{Object, ObjectRef};
pub use snapshot::Snapshot;
