//! Lists and watches the objects of the Kubernetes API.
//!
//! ```text
//! one Watcher per kind ──► api ──► WatchEvent ──► (runtime) Index
//!   list, watch,         (checks)
//!   resume, list again
//! ```
//!
//! A watcher runs as long as its events are received. It reports errors as [`WatchEvent::Failed`] and retries.

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
