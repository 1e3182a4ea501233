//! The listener, and what is served on it.

use std::{future, io, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result};
use futures::{Stream, StreamExt as _, stream};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::server::TlsStream;
use tonic::transport::{Server, server::Router};
use tracing::debug;

use super::{
    Observer, PeerList, Tls,
    proto::{DESCRIPTORS, observer::observer_server::ObserverServer, peer::peer_server::PeerServer},
};

/// The name by which `hubble status` asks whether the service is healthy.
const SERVICE: &str = "hubble.server.Observer";

/// Requests that one connection may have under way.
const STREAMS: u32 = 64;

/// How often a silent connection is asked whether it is still there, and how long it may take to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Clients that may be shaking hands at a time, and how long they may take.
const HANDSHAKES: usize = 64;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A pause after an error of the listener, such as no more file descriptors.
const PAUSE: Duration = Duration::from_millis(500);

/// An address that is listened on.
pub struct Listener {
    listener: TcpListener,
    tls: Option<Tls>,
    port: u16,
}

impl Listener {
    /// # Errors
    ///
    /// The address can't be had.
    pub async fn bind(address: SocketAddr, tls: Option<Tls>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, tls, port })
    }
}

/// Serves for as long as it is polled.
///
/// # Errors
///
/// The server fails.
pub async fn serve(listener: Listener, observer: Observer, peers: &PeerList) -> Result<()> {
    let Listener { listener, tls, port } = listener;
    let router = router(observer, peers, port, tls.is_some()).await?;
    match tls {
        None => router.serve_with_incoming(connections(listener)).await,
        Some(tls) => router.serve_with_incoming(encrypted(listener, tls)).await,
    }
    .context("the server")
}

async fn router(observer: Observer, peers: &PeerList, port: u16, tls: bool) -> Result<Router> {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status(SERVICE, tonic_health::ServingStatus::Serving).await;
    let descriptors = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let router = Server::builder()
        .max_concurrent_streams(STREAMS)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .add_service(health)
        .add_service(descriptors().build_v1()?)
        .add_service(descriptors().build_v1alpha()?)
        .add_service(PeerServer::new(peers.service(port, tls)))
        .add_service(ObserverServer::new(observer));
    Ok(router)
}

/// Whoever connects. The listener's errors pass, and end nothing.
fn connections(listener: TcpListener) -> impl Stream<Item = io::Result<TcpStream>> {
    stream::unfold(listener, |listener| async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return Some((Ok(stream), listener)),
                Err(error) => {
                    debug!("Hubble's API: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    })
}

/// Whoever connects and may. Nobody waits for those who are slow to prove it.
fn encrypted(listener: TcpListener, tls: Tls) -> impl Stream<Item = io::Result<TlsStream<TcpStream>>> {
    let shake_hands = move |stream: io::Result<TcpStream>| {
        let acceptor = tls.acceptor();
        async move {
            match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream?)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => debug!("Hubble's API: a client was not let in: {error}"),
                Err(_) => debug!("Hubble's API: a client was too slow to shake hands"),
            }
            Err(io::ErrorKind::PermissionDenied.into())
        }
    };
    connections(listener)
        .map(shake_hands)
        .buffer_unordered(HANDSHAKES)
        .filter(|shaken| future::ready(shaken.is_ok()))
}
