//! Objects from the Kubernetes API: lists, and then what changes.
//!
//! ```text
//! one Watcher a kind ──► wire ──► News ──► (runtime) Index
//!   list, watch,        (checks)
//!   resume, start anew
//! ```
//!
//! A watcher never ends: whatever the server does, it says so in [`WatchEvent::Failed`] and tries again.

mod api;
mod backoff;
mod connect;
mod line;
mod listing;
mod raw;
mod watch_error;
mod watch_event;
mod watcher;

pub use backoff::Backoff;
pub use connect::{ConnectError, Credentials, connect};
pub use listing::{Listing, list};
pub use watch_error::{Forbidden, WatchError};
pub use watch_event::WatchEvent;
pub use watcher::{WatchSettings, watchers};
