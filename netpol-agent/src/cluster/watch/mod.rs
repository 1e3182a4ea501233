//! Objects from the Kubernetes API: lists, and then what changes.
//!
//! ```text
//! one Watcher a kind ──► wire ──► News ──► (runtime) Index
//!   list, watch,        (checks)
//!   resume, start anew
//! ```
//!
//! A watcher never ends: whatever the server does, it says so in [`News::Trouble`] and tries again.

mod api;
mod backoff;
mod connect;
mod freshness;
mod line;
mod listing;
mod news;
mod raw;
mod resource;
mod trouble;
mod watcher;

pub use backoff::Backoff;
pub use connect::{ConnectError, Credentials, connect};
pub use freshness::{Freshness, Knowledge};
pub use listing::{Listing, list};
pub use news::News;
pub use trouble::{Forbidden, Trouble};
pub use watcher::{Settings, watchers};
