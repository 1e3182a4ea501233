//! `/metrics`, `/healthz` and `/readyz`.

use std::{
    io,
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
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

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

/// Serves for as long as it is polled.
///
/// # Errors
///
/// The listener fails.
pub async fn serve(listener: TcpListener, metrics: &Metrics, health: Health) -> io::Result<()> {
    let router = Router::new().route("/metrics", get(scrape)).with_state(Arc::new(metrics.registry())).merge(
        Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz)).with_state(health),
    );
    axum::serve(listener, router).await
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
    use super::*;

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
