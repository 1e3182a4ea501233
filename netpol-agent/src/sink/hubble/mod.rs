//! Serves Hubble's API, so that Hubble's command line, relay and user interface show netpol's flows.
//!
//! One connection attempt is one flow. If policies decide it, the flow is a policy verdict with the policies' names. A
//! denied connection that was established is `AUDITED`: in Hubble's terms, a connection that is denied but let
//! through.

mod config;
mod endpoint;
mod event;
mod extension;
mod filter;
mod mask;
mod observer;
mod peers;
mod reader;
mod ring;
mod selector;
mod server;
#[cfg(test)]
mod tests;
mod tls;

pub use config::{HubbleArgs, socket_address};
pub use observer::Observer;
pub use peers::PeerList;
pub use ring::{Recorder, Recording, recorder};
pub use server::{Listener, serve};
pub use tls::{Tls, TlsFiles};

/// The messages and services of Hubble's API (netpol-agent/proto).
#[expect(missing_docs, reason = "generated; the .proto files have the documentation")]
#[allow(
    unused_qualifications,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
pub mod proto {
    pub mod flow {
        tonic::include_proto!("flow");
    }
    pub mod observer {
        tonic::include_proto!("observer");
    }
    pub mod peer {
        tonic::include_proto!("peer");
    }
    pub mod relay {
        tonic::include_proto!("relay");
    }

    /// The descriptors of all messages and their imports, as a `FileDescriptorSet`.
    pub const DESCRIPTORS: &[u8] = tonic::include_file_descriptor_set!("hubble");
}
