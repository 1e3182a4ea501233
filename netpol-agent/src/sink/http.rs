//! `/metrics`, `/healthz` and `/readyz`.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
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

/// Whether the agent sees anything yet. Cloning shares.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<AtomicBool>);

impl Health {
    /// From now on the programs are attached and the cluster state is known.
    pub fn ready(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it is so.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Serves for as long as it is polled.
///
/// # Errors
///
/// The listener fails.
pub async fn serve(listener: TcpListener, metrics: &Metrics, health: Health) -> io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(scrape))
        .with_state(Arc::new(metrics.registry()))
        .route("/healthz", get(|| async { "ok\n" }))
        .merge(Router::new().route("/readyz", get(readyz)).with_state(health));
    axum::serve(listener, router).await
}

async fn scrape(State(registry): State<Arc<Registry>>) -> impl IntoResponse {
    match Metrics::encode(&registry) {
        Ok(text) => Ok(([(CONTENT_TYPE, OPEN_METRICS)], text)),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
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
