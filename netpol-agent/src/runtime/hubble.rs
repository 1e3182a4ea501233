//! Hubble's API, from options to a server.

use std::pin::Pin;

use anyhow::{Context as _, Result};
use nix::unistd::gethostname;
use tracing::warn;

use super::HubbleOptions;
use crate::sink::hubble::{Listener, Observer, PeerList, Recorder, Tls, recorder, serve};

/// A server that has its address.
pub(super) struct HubbleServer {
    /// Where flows go in.
    pub(super) recorder: Recorder,
    /// Where nodes go in.
    pub(super) peers: PeerList,
    /// To be spawned.
    pub(super) serve: Pin<Box<dyn Future<Output = Result<()>> + Send>>,
}

/// Binds the address, so that a wrong one is told before anything runs.
///
/// # Errors
///
/// The address can't be had, or the certificates can't be used.
pub(super) async fn open(options: HubbleOptions, node: Option<&str>) -> Result<HubbleServer> {
    let HubbleOptions { address, tls, flows } = options;
    let tls = tls.map(Tls::open).transpose().context("TLS of Hubble's API")?;
    if tls.is_none() && !address.ip().is_loopback() {
        warn!(
            "Hubble's API on {address} is without TLS: whoever reaches it reads who talks to whom on this node"
        );
    }
    let listener = Listener::bind(address, tls)
        .await
        .with_context(|| format!("cannot listen on {address} (--hubble-addr)"))?;
    let node = match node {
        Some(node) => node.to_owned(),
        None => gethostname().context("this machine's name")?.to_string_lossy().into_owned(),
    };
    let (recorder, recording) = recorder(flows);
    let peers = PeerList::default();
    let (observer, of_server) = (Observer::new(recording, node), peers.clone());
    let serve = Box::pin(async move { serve(listener, observer, &of_server).await.context("Hubble's API") });
    Ok(HubbleServer { recorder, peers, serve })
}
