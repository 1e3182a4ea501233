//! Hubble's API, so that its command line, relay and user interface show what netpol sees.
//!
//! One connection attempt is one flow. Where policies decide about it, it is a policy verdict with their names: a denied
//! connection that passed is `AUDITED`, which in Hubble's words is denied, and let through.

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

/// What Hubble's clients send and get (netpol-agent/proto).
#[expect(missing_docs, reason = "generated; the .proto files say what is what")]
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

    /// All of them and what they import, as a `FileDescriptorSet`.
    pub const DESCRIPTORS: &[u8] = tonic::include_file_descriptor_set!("hubble");
}
