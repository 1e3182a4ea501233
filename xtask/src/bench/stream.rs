//! The API server's part in the benchmark of a large cluster: lists in pages, and a watch whose events are made to
//! order. What a real server does beside that costs the server, not the agent.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    thread,
};

use anyhow::{Context as _, Result};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Query, State},
    http::{Response, StatusCode, Uri},
    serve::ListenerExt as _,
};
use futures::{StreamExt as _, stream};
use netpol_testkit::netns::Lab;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::broadcast};

/// Events that a slow reader may be behind before it loses some.
const BACKLOG: usize = 65_536;

/// All objects of a kind, by the path of its list.
pub(super) type Objects = HashMap<&'static str, Vec<Value>>;

/// A server that goes away with the process.
pub(super) struct Stream {
    pub(super) address: SocketAddr,
    events: broadcast::Sender<Bytes>,
}

#[derive(Clone)]
struct Served {
    objects: Arc<Objects>,
    /// Changes of pods.
    events: broadcast::Sender<Bytes>,
}

impl Stream {
    /// Serves these objects on the lab's loopback.
    pub(super) fn start(lab: &Lab, objects: Objects) -> Result<Self> {
        let listener =
            lab.run(|| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?.context("listening")?;
        listener.set_nonblocking(true).context("a listener without waiting")?;
        let address = listener.local_addr().context("a listener's address")?;
        let (events, _) = broadcast::channel(BACKLOG);
        let served = Served { objects: Arc::new(objects), events: events.clone() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::spawn(move || {
            runtime.block_on(async {
                // As a real API server does: an event is not held back until the one before it is acknowledged.
                let listener = TcpListener::from_std(listener)?.tap_io(|stream| {
                    let _ = stream.set_nodelay(true);
                });
                axum::serve(listener, Router::new().fallback(answer).with_state(served)).await
            })
        });
        Ok(Self { address, events })
    }

    /// Tells all watches of a changed pod.
    pub(super) fn modified(&self, pod: &Value) {
        let line = format!("{}\n", json!({ "type": "MODIFIED", "object": pod }));
        // Nobody watches yet.
        let _ = self.events.send(line.into());
    }
}

async fn answer(
    State(served): State<Served>,
    Query(query): Query<HashMap<String, String>>,
    uri: Uri,
) -> Response<Body> {
    let Some(objects) = served.objects.get(uri.path()) else {
        return plain(StatusCode::NOT_FOUND, &Value::Null);
    };
    if query.contains_key("sendInitialEvents") {
        return plain(StatusCode::UNPROCESSABLE_ENTITY, &Value::Null);
    }
    if query.contains_key("watch") {
        let mine = uri.path() == "/api/v1/pods";
        let events = stream::unfold(served.events.subscribe(), |mut events| async {
            let event = events.recv().await.ok()?;
            Some((Ok::<_, Infallible>(event), events))
        });
        return Response::new(if mine {
            Body::from_stream(events)
        } else {
            Body::from_stream(stream::pending::<Result<Bytes, Infallible>>().boxed())
        });
    }
    let number = |key: &str| query.get(key).and_then(|text| text.parse::<usize>().ok());
    let (start, limit) = (number("continue").unwrap_or(0), number("limit").unwrap_or(usize::MAX));
    let end = objects.len().min(start.saturating_add(limit));
    let next = if end < objects.len() { end.to_string() } else { String::new() };
    let items = objects.get(start..end).unwrap_or_default();
    plain(
        StatusCode::OK,
        &json!({ "metadata": { "resourceVersion": "1", "continue": next }, "items": items }),
    )
}

fn plain(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response
}
