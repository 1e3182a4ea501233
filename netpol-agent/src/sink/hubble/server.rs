//! The gRPC server: its listener, with or without TLS, and the services on it.

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

/// The service name that `hubble status` uses for its health check.
const SERVICE: &str = "hubble.server.Observer";

/// The number of concurrent requests of one connection.
const MAX_STREAMS: u32 = 64;

/// The interval of keep-alive pings on a silent connection, and the timeout for a reply.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// The number of concurrent TLS handshakes, and the timeout for one.
const MAX_HANDSHAKES: usize = 64;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait after an error of the listener, such as too many open files.
const RECOVERY: Duration = Duration::from_millis(500);

/// A bound address, with or without TLS.
pub struct Listener {
    listener: TcpListener,
    tls: Option<Tls>,
    port: u16,
}

impl Listener {
    /// Binds an address.
    ///
    /// # Errors
    ///
    /// The address can't be bound.
    pub async fn bind(address: SocketAddr, tls: Option<Tls>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, tls, port })
    }
}

/// Serves as long as the future is polled.
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
        .max_concurrent_streams(MAX_STREAMS)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .add_service(health)
        .add_service(descriptors().build_v1()?)
        .add_service(descriptors().build_v1alpha()?)
        .add_service(PeerServer::new(peers.service(port, tls)))
        .add_service(ObserverServer::new(observer));
    Ok(router)
}

/// Accepts connections. An error of the listener is logged, and the listener continues.
fn connections(listener: TcpListener) -> impl Stream<Item = io::Result<TcpStream>> {
    stream::unfold(listener, |listener| async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return Some((Ok(stream), listener)),
                Err(error) => {
                    debug!("Hubble's API: {error}");
                    tokio::time::sleep(RECOVERY).await;
                }
            }
        }
    })
}

/// Accepts connections and does the TLS handshakes. A slow client does not delay others.
fn encrypted(listener: TcpListener, tls: Tls) -> impl Stream<Item = io::Result<TlsStream<TcpStream>>> {
    let handshake = move |stream: io::Result<TcpStream>| {
        let acceptor = tls.acceptor();
        async move {
            match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream?)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => debug!("Hubble's API: a TLS handshake has failed: {error}"),
                Err(_) => debug!("Hubble's API: a TLS handshake has timed out"),
            }
            Err(io::ErrorKind::PermissionDenied.into())
        }
    };
    connections(listener)
        .map(handshake)
        .buffer_unordered(MAX_HANDSHAKES)
        .filter(|stream| future::ready(stream.is_ok()))
}
