//! Watchers against servers that do as they are told: what a real one does seldom, or only in other versions.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests fail as tests do")]

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{Response, Uri},
};
use futures::{StreamExt as _, stream};
use netpol_agent::{
    cluster::watch::{Credentials, Freshness, News, Settings, connect, watchers},
    model::ObjectKind,
};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet, time::timeout};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer to the next request for pods.
struct Answer {
    status: u16,
    body: String,
    /// Whether the connection stays open after the body, and nothing more comes.
    open: bool,
}

fn whole(status: u16, body: &Value) -> Answer {
    Answer { status, body: body.to_string(), open: false }
}

fn refused(status: u16, reason: &str) -> Answer {
    whole(status, &json!({ "kind": "Status", "status": "Failure", "code": status, "reason": reason }))
}

fn page(version: &str, next: &str, names: &[&str]) -> Answer {
    let items: Vec<Value> = names.iter().map(|name| pod(name, version)).collect();
    whole(200, &json!({ "metadata": { "resourceVersion": version, "continue": next }, "items": items }))
}

/// A watch that goes on, in silence.
fn watch(events: &[Value]) -> Answer {
    Answer { status: 200, body: lines(events), open: true }
}

/// A watch whose connection breaks within an event.
fn broken(events: &[Value]) -> Answer {
    Answer { status: 200, body: lines(events) + "{\"type\":\"ADD", open: false }
}

fn lines(events: &[Value]) -> String {
    events.iter().map(|event| format!("{event}\n")).collect()
}

fn pod(name: &str, version: &str) -> Value {
    json!({ "metadata": { "name": name, "namespace": "shop", "resourceVersion": version } })
}

fn event(kind: &str, name: &str, version: &str) -> Value {
    json!({ "type": kind, "object": pod(name, version) })
}

fn bookmark(version: &str, ends_list: bool) -> Value {
    let annotations = if ends_list { json!({ "k8s.io/initial-events-end": "true" }) } else { Value::Null };
    json!({ "type": "BOOKMARK", "object": { "metadata": { "resourceVersion": version, "annotations": annotations } } })
}

fn gone() -> Value {
    json!({ "type": "ERROR", "object": { "kind": "Status", "code": 410, "reason": "Expired" } })
}

#[derive(Clone, Default)]
struct Server {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

async fn answer(State(server): State<Server>, uri: Uri) -> Response<Body> {
    let next = if uri.path() == "/api/v1/pods" {
        server.asked.lock().unwrap().push(short(uri.query().unwrap_or_default()));
        server.answers.lock().unwrap().pop_front()
    } else {
        // Other kinds are no part of this.
        None
    };
    let Some(Answer { status, body, open }) = next else { return std::future::pending().await };
    let first = stream::iter([Ok::<_, Infallible>(Bytes::from(body))]);
    let body =
        if open { Body::from_stream(first.chain(stream::pending())) } else { Body::from_stream(first) };
    Response::builder().status(status).body(body).unwrap()
}

/// What tells one request from another.
fn short(query: &str) -> String {
    let parts = query.split('&').filter(|part| {
        ["watch=", "continue=", "resourceVersion=", "sendInitialEvents="]
            .iter()
            .any(|key| part.starts_with(key))
    });
    parts.collect::<Vec<_>>().join("&")
}

/// Runs the watchers until the pods' has told this last; returns all that it told, and what it asked.
async fn run(answers: Vec<Answer>, last: &str) -> (Vec<String>, Vec<String>) {
    let server = Server { answers: Arc::new(Mutex::new(answers.into())), ..Server::default() };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(answer).with_state(server.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });

    let kubeconfig = NamedTempFile::new().unwrap();
    let text = json!({
        "clusters": [{ "name": "c", "cluster": { "server": format!("http://{address}") } }],
        "users": [{ "name": "u", "user": {} }],
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
        "current-context": "c",
    });
    std::fs::write(kubeconfig.path(), text.to_string()).unwrap();
    let kubeconfig = Some(kubeconfig.path().to_owned());
    let client = connect(&Credentials { kubeconfig, context: None }).await.unwrap();
    let settings = Settings { freshness: Freshness::new(Instant::now()), look_again: PATIENCE };
    let (sender, mut news) = mpsc::channel(1);
    watchers(&client, &settings, &sender).into_iter().for_each(|watcher| drop(tasks.spawn(watcher)));

    let mut told = Vec::new();
    while told.last().is_none_or(|line| line != last) {
        let next = timeout(PATIENCE, news.recv()).await;
        assert!(next.is_ok(), "{last} does not come: {told:#?}");
        told.extend(line(&next.unwrap().unwrap()));
    }
    let asked = server.asked.lock().unwrap().clone();
    (told, asked)
}

fn line(news: &News) -> Option<String> {
    Some(match news {
        News::Listing(ObjectKind::Pod) => "listing".to_owned(),
        News::Listed(ObjectKind::Pod) => "listed".to_owned(),
        News::Applied(object) => format!("{}", object.reference()),
        News::Deleted(reference) => format!("no {reference}"),
        News::Unreadable { reference, why } => format!("{reference}? {why}"),
        News::Trouble(ObjectKind::Pod, trouble) => trouble.name().to_owned(),
        News::Recovered(ObjectKind::Pod) => "recovered".to_owned(),
        _ => return None,
    })
}

/// A server that can sends all objects as a watch, which goes on with what changes.
#[tokio::test]
async fn streamed_list() {
    let events = [
        event("ADDED", "a", "1"),
        event("ADDED", "b", "2"),
        bookmark("3", true),
        event("MODIFIED", "a", "4"),
        event("DELETED", "b", "5"),
        bookmark("6", false),
    ];
    let (told, asked) = run(vec![broken(&events), watch(&[event("ADDED", "c", "7")])], "Pod shop/c").await;
    assert_eq!(
        told,
        [
            "listing",
            "Pod shop/a",
            "Pod shop/b",
            "listed",
            "Pod shop/a",
            "no Pod shop/b",
            "unreachable",
            "recovered",
            "Pod shop/c",
        ]
    );
    assert_eq!(
        asked,
        ["watch=true&sendInitialEvents=true&resourceVersion=0", "watch=true&resourceVersion=6"],
        "it goes on after the last bookmark"
    );
}

/// One that can't is asked for pages; a page that has expired begins the list anew.
#[tokio::test]
async fn paged_list() {
    let answers = vec![
        refused(422, "Invalid"),
        page("9", "more", &["a"]),
        refused(410, "Expired"),
        page("10", "more", &["b"]),
        page("10", "", &["c"]),
        watch(&[event("ADDED", "d", "11")]),
    ];
    let (told, asked) = run(answers, "Pod shop/d").await;
    assert_eq!(
        told,
        [
            "listing",
            "Pod shop/a",
            "expired",
            "listing",
            "Pod shop/b",
            "Pod shop/c",
            "listed",
            "recovered",
            "Pod shop/d",
        ]
    );
    let list = ["", "continue=more", "", "continue=more", "watch=true&resourceVersion=10"];
    assert_eq!(asked[1..], list);
}

/// Whatever the server answers, the watcher goes on: with what it has, or from the beginning.
#[tokio::test]
async fn troubles() {
    let unreadable = json!({ "type": "ADDED", "object": {
        "metadata": { "name": "b", "namespace": "shop", "resourceVersion": "2" },
        "spec": { "containers": [{ "ports": [{ "containerPort": 99_999 }] }] },
    }});
    let answers = vec![
        refused(429, "TooManyRequests"),
        refused(500, "InternalError"),
        watch(&[event("ADDED", "a", "1"), unreadable, bookmark("2", true), gone()]),
        watch(&[event("ADDED", "c", "3"), bookmark("3", true), json!("nonsense")]),
        watch(&[event("ADDED", "c", "3"), bookmark("3", true), event("ADDED", "d", "4")]),
    ];
    let (told, asked) = run(answers, "Pod shop/d").await;
    assert_eq!(
        told,
        [
            "refused",
            "refused",
            "listing",
            "Pod shop/a",
            "Pod shop/b? spec.containers[0].ports[0].containerPort: 99999 is no port: use 1 to 65535",
            "listed",
            "recovered",
            "expired",
            "listing",
            "Pod shop/c",
            "listed",
            "recovered",
            "malformed",
            "listing",
            "Pod shop/c",
            "listed",
            "recovered",
            "Pod shop/d",
        ]
    );
    assert!(asked.iter().all(|query| query.contains("sendInitialEvents=true")), "{asked:?}");
}
