//! `/metrics`, `/healthz` and `/readyz`.

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

/// The content type of what `prometheus-client` writes.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// An agent that has done nothing for so long never will: it has something to do five times a second.
const STUCK: Duration = Duration::from_secs(30);

/// Whether the agent works, and sees anything yet. Cloning shares.
#[derive(Clone, Debug)]
pub struct Health(Arc<Life>);

#[derive(Debug)]
struct Life {
    ready: AtomicBool,
    worked: Mutex<Instant>,
}

impl Health {
    /// Of an agent that begins now.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self(Arc::new(Life { ready: AtomicBool::new(false), worked: Mutex::new(now) }))
    }

    /// From now on the programs are attached, and the cluster state is known as well as it can be had.
    pub fn ready(&self) {
        self.0.ready.store(true, Ordering::Release);
    }

    /// Whether it is so.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.ready.load(Ordering::Acquire)
    }

    /// The agent works. What it waits for, such as an API server that is away, does not matter.
    pub fn works(&self, now: Instant) {
        *self.0.worked.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Whether it has done so of late.
    #[must_use]
    pub fn is_alive(&self, now: Instant) -> bool {
        let worked = *self.0.worked.lock().unwrap_or_else(PoisonError::into_inner);
        now.saturating_duration_since(worked) < STUCK
    }
}

/// Connections at a time; one more ends the oldest. Pods may reach this port, and none of them must keep the kubelet from
/// asking how the agent does, nor take its memory.
const MOST_CONNECTIONS: usize = 64;

/// How long one may take, from its begin to the end of the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of a request, headers included.
const REQUEST_BYTES: usize = 16 << 10;

/// After a failure to accept, such as too many open files: how long to wait.
const RECOVERY: Duration = Duration::from_secs(1);

/// Serves for as long as it is polled. Each connection is good for one request.
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
        if open.len() == MOST_CONNECTIONS
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
    // Whoever asks sees how it ends; nobody else needs to.
    let _ = timeout(PATIENCE, connection).await;
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
        (StatusCode::SERVICE_UNAVAILABLE, "stuck: the agent no longer works on what the kernel tells\n")
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

    /// Sends this, and waits for the end of the answer.
    async fn ask(at: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(at).await.unwrap();
        // What is too long may be refused before it is sent whole.
        let _ = stream.write_all(request.as_bytes()).await;
        ended(stream).await
    }

    /// What comes until the other side ends the connection, which it does before its patience is at an end.
    async fn ended(mut stream: TcpStream) -> String {
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE / 2, stream.read_to_end(&mut answer)).await.unwrap();
        String::from_utf8(answer).unwrap()
    }

    /// Requests that never end, or are too long, take neither memory nor anybody's turn.
    #[tokio::test]
    async fn requests_without_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let metrics = Metrics::default();
        let questions = async {
            let mut slow = Vec::new();
            for _ in 0..=MOST_CONNECTIONS {
                let mut stream = TcpStream::connect(at).await.unwrap();
                stream.write_all(b"GET /healthz HTTP/1.1\r\nX: ").await.unwrap();
                slow.push(stream);
            }
            let whole = ask(at, "GET /healthz HTTP/1.1\r\nHost: agent\r\n\r\n").await;
            assert!(whole.starts_with("HTTP/1.1 200"), "{whole}");
            assert_eq!(ended(slow.swap_remove(0)).await, "", "the oldest is ended");
            let long = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(2 * REQUEST_BYTES));
            let refused = ask(at, &long).await;
            assert!(!refused.contains("200 OK"), "{refused}");
        };
        let health = Health::new(Instant::now());
        tokio::select! {
            never = serve(listener, &metrics, health) => match never {},
            () = questions => {}
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
