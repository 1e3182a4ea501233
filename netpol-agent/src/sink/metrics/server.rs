//! The HTTP server for `/metrics`, `/healthz` and `/readyz`.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use prometheus_client::registry::Registry;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};

use super::Metrics;

/// The content type of `prometheus-client`'s output.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// After this time without any work, the agent counts as stuck. It normally has work five times a second.
const STUCK: Duration = Duration::from_secs(30);

/// The agent's liveness and readiness. Clones share the state.
#[derive(Clone, Debug)]
pub struct Health(Arc<HealthState>);

#[derive(Debug)]
struct HealthState {
    ready: AtomicBool,
    /// The time of the last work.
    worked: Mutex<Instant>,
}

impl Health {
    /// Creates the state of an agent that starts now.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self(Arc::new(HealthState { ready: AtomicBool::new(false), worked: Mutex::new(now) }))
    }

    /// Marks the agent as ready: the programs are attached, and each kind of object has been listed or can't be
    /// listed.
    pub fn ready(&self) {
        self.0.ready.store(true, Ordering::Release);
    }

    /// Returns true if the agent is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.ready.load(Ordering::Acquire)
    }

    /// Records that the agent works. Waiting for something, such as an unreachable API server, does not matter.
    pub fn works(&self, now: Instant) {
        *self.0.worked.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Returns true if the agent has worked recently.
    #[must_use]
    pub fn is_alive(&self, now: Instant) -> bool {
        let worked = *self.0.worked.lock().unwrap_or_else(PoisonError::into_inner);
        now.saturating_duration_since(worked) < STUCK
    }
}

/// The number of open connections. One more closes the oldest. Pods may be able to reach this port: they must not
/// block the kubelet's probes or use up the agent's memory.
const MAX_CONNECTIONS: usize = 64;

/// The timeout for a connection, from its start to the end of the response.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// The limit for a request, including headers, in bytes.
const REQUEST_BYTES: usize = 16 << 10;

/// How long to wait after a failed accept, such as with too many open files.
const RECOVERY: Duration = Duration::from_secs(1);

/// Serves requests as long as the future is polled. Each connection serves one request.
pub async fn serve(listener: TcpListener, metrics: &Metrics, health: Health) -> Infallible {
    let router = Router::new().route("/metrics", get(scrape)).with_state(Arc::new(metrics.registry())).merge(
        Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz)).with_state(health),
    );
    let mut tasks = JoinSet::new();
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(RECOVERY).await;
            continue;
        };
        while tasks.try_join_next().is_some() {}
        open.retain(|connection| !connection.is_finished());
        if open.len() == MAX_CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        open.push_back(tasks.spawn(answer(stream, router.clone())));
    }
}

async fn answer(stream: TcpStream, router: Router) {
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(REQUEST_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // The client sees an error. The agent need not handle it.
    let _ = timeout(CONNECTION_TIMEOUT, connection).await;
}

async fn scrape(State(registry): State<Arc<Registry>>) -> impl IntoResponse {
    match Metrics::encode(&registry) {
        Ok(text) => Ok(([(CONTENT_TYPE, OPEN_METRICS)], text)),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

async fn healthz(State(health): State<Health>) -> (StatusCode, &'static str) {
    if health.is_alive(Instant::now()) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "stuck: the agent no longer processes the kernel's records\n")
    }
}

async fn readyz(State(health): State<Health>) -> (StatusCode, &'static str) {
    if health.is_ready() {
        (StatusCode::OK, "ok\n")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "not ready: programs are not attached, or no cluster state is known yet\n",
        )
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Sends a request, and waits for the end of the response.
    async fn ask(at: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(at).await.unwrap();
        // The server may reject a request that is too long before all of it is sent.
        let _ = stream.write_all(request.as_bytes()).await;
        ended(stream).await
    }

    /// Reads until the server closes the connection. It must do that before its own timeout.
    async fn ended(mut stream: TcpStream) -> String {
        let mut answer = Vec::new();
        let _ = timeout(CONNECTION_TIMEOUT / 2, stream.read_to_end(&mut answer)).await.unwrap();
        String::from_utf8(answer).unwrap()
    }

    /// Requests that never end or are too long do not use up memory, and do not block other requests.
    #[tokio::test]
    async fn requests_without_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let metrics = Metrics::default();
        let requests = async {
            let mut slow = Vec::new();
            for _ in 0..=MAX_CONNECTIONS {
                let mut stream = TcpStream::connect(at).await.unwrap();
                stream.write_all(b"GET /healthz HTTP/1.1\r\nX: ").await.unwrap();
                slow.push(stream);
            }
            let whole = ask(at, "GET /healthz HTTP/1.1\r\nHost: agent\r\n\r\n").await;
            assert!(whole.starts_with("HTTP/1.1 200"), "{whole}");
            assert_eq!(ended(slow.swap_remove(0)).await, "", "the oldest connection is closed");
            let long = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(2 * REQUEST_BYTES));
            let refused = ask(at, &long).await;
            assert!(!refused.contains("200 OK"), "{refused}");
        };
        let health = Health::new(Instant::now());
        tokio::select! {
            never = serve(listener, &metrics, health) => match never {},
            () = requests => {}
        }
    }

    #[test]
    fn an_agent_that_stops_working_is_not_alive() {
        let start = Instant::now();
        let health = Health::new(start);
        assert!(health.is_alive(start + STUCK / 2));
        assert!(!health.is_alive(start + STUCK));
        health.works(start + STUCK);
        assert!(health.is_alive(start + STUCK));
        assert!(!health.is_ready());
        health.ready();
        assert!(health.is_ready());
    }
}
