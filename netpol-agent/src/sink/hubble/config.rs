//! The flags of Hubble's API, and how the sink and its server are built from them.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use anyhow::{Context as _, Result};
use nix::unistd::gethostname;
use tracing::warn;

use super::{Listener, Observer, PeerList, Recorder, Tls, TlsFiles, recorder, serve};
use crate::{
    model::{Flow, Status},
    sink::{Built, Sink, SinkContext},
};

/// The flags of this sink.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct HubbleArgs {
    /// Serve Hubble's API (gRPC) on this address. Without TLS, use a loopback address, or anybody can read the flows.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = socket_address)]
    pub hubble_addr: Option<SocketAddr>,

    /// The number of flows to keep for clients of Hubble's API.
    #[arg(long, value_name = "COUNT", default_value_t = 4095, requires = "hubble_addr",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=65_535))]
    pub hubble_flows: usize,

    /// The certificate for Hubble's API, in PEM; reloaded when it changes. Clients then need a certificate, too.
    #[arg(long, value_name = "FILE", requires_all = ["hubble_addr", "hubble_tls_key", "hubble_tls_client_ca"])]
    pub hubble_tls_cert: Option<PathBuf>,

    /// The private key of the certificate, in PEM.
    #[arg(long, value_name = "FILE", requires = "hubble_tls_cert")]
    pub hubble_tls_key: Option<PathBuf>,

    /// The certificate authorities (CA) that must have signed the clients' certificates, in PEM.
    #[arg(long, value_name = "FILE", requires = "hubble_tls_cert")]
    pub hubble_tls_client_ca: Option<PathBuf>,
}

/// The sink: it records flows for the clients, and keeps the list of nodes.
struct Hubble {
    recorder: Recorder,
    peers: PeerList,
}

impl HubbleArgs {
    /// Builds the sink and binds the address. An invalid address is reported at once.
    ///
    /// # Errors
    ///
    /// The address can't be bound, or the certificates can't be used.
    pub async fn build(self, context: &SinkContext) -> Result<Option<Built>> {
        let Self { hubble_addr, hubble_flows, hubble_tls_cert, hubble_tls_key, hubble_tls_client_ca } = self;
        let Some(address) = hubble_addr else { return Ok(None) };
        let tls = match (hubble_tls_cert, hubble_tls_key, hubble_tls_client_ca) {
            (Some(certificate), Some(key), Some(client_ca)) => Some(TlsFiles { certificate, key, client_ca }),
            _ => None,
        };
        let tls = tls.map(Tls::open).transpose().context("TLS of Hubble's API")?;
        if tls.is_none() && !address.ip().is_loopback() {
            warn!(
                "Hubble's API on {address} has no TLS: anybody who can reach the address can read this node's flows"
            );
        }
        let listener = Listener::bind(address, tls)
            .await
            .with_context(|| format!("cannot listen on {address} (--hubble-addr)"))?;
        let node = match &context.node {
            Some(node) => node.clone(),
            None => gethostname().context("this machine's name")?.to_string_lossy().into_owned(),
        };
        let (recorder, recording) = recorder(hubble_flows);
        let peers = PeerList::default();
        let (observer, server_peers) = (Observer::new(recording, node), peers.clone());
        let task = async move { serve(listener, observer, &server_peers).await.context("Hubble's API") };
        Ok(Some(Built { serve: Some(Box::pin(task)), ..Built::new(Hubble { recorder, peers }) }))
    }
}

impl Sink for Hubble {
    fn flow(&mut self, flow: &Flow) {
        self.recorder.flow(flow.clone());
    }

    fn status(&mut self, status: &Status) {
        self.recorder.lost(status.kernel_losses(), status.time);
        if let Some(nodes) = &status.nodes {
            self.peers.set(nodes.clone());
        }
    }
}

/// Parses an address and a port. The brackets of an IPv6 address are optional, because Kubernetes provides addresses
/// without them (`status.hostIP`).
///
/// # Errors
///
/// The text is not an IP address, a colon and a port.
pub fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let plain = || {
        let (address, port) = text.rsplit_once(':')?;
        Some(SocketAddr::new(address.parse::<IpAddr>().ok()?, port.parse().ok()?))
    };
    text.parse().ok().or_else(plain).ok_or_else(|| "not an IP address, a colon and a port".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_addresses() {
        for (text, address) in [
            ("127.0.0.1:9965", Some("127.0.0.1:9965")),
            ("[::]:9965", Some("[::]:9965")),
            ("fd00::7:9965", Some("[fd00::7]:9965")),
            ("127.0.0.1", None),
            ("fd00::7", None),
            (":9965", None),
            ("node:9965", None),
            ("127.0.0.1:99650", None),
        ] {
            let address = address.map(|address| address.parse().unwrap());
            assert_eq!(socket_address(text).ok(), address, "{text:?}");
        }
    }
}
