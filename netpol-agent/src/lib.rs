//! netpol: proof that Kubernetes network policies are enforced.
//!
//! The modules in the order in which data goes through them; one may use only those before it
//! (`cargo xtask tidy` checks it):
//!
//! ```text
//! kernel ──► decode ──► flow ──► identity ──► policy ──► verify ──► sink
//!                                   ▲            ▲
//!                     cluster ──► Snapshot ──────┘
//! ```

pub mod capture;
pub mod check;
pub mod cluster;
pub mod declared;
pub mod decode;
pub mod diff;
pub mod explain;
pub mod flow;
pub mod identity;
pub mod kernel;
pub mod lint;
pub mod list;
pub mod matrix;
pub mod model;
pub mod pipeline;
pub mod policy;
pub mod runtime;
pub mod sink;
pub mod verify;
