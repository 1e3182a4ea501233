//! Watchers against servers that do as they are told: what a real one does seldom, or only in other versions.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests fail as tests do")]

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{Response, Uri},
};
use futures::{StreamExt as _, stream};
use netpol_agent::{
    cluster::watch::{Credentials, WatchError, WatchEvent, WatchSettings, connect, watchers},
    model::ObjectKind,
};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet, time::timeout};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer to the next request of the watcher that a test is about.
struct Answer {
    status: u16,
    body: String,
    /// What the header says.
    retry_after: Option<&'static str>,
    /// Whether the connection stays open after the body, and nothing more comes.
    open: bool,
}

fn whole(status: u16, body: &Value) -> Answer {
    text(status, &body.to_string())
}

fn text(status: u16, body: &str) -> Answer {
    Answer { status, body: body.to_owned(), retry_after: None, open: false }
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
    Answer { open: true, ..text(200, &lines(events)) }
}

/// A watch whose connection breaks within an event.
fn broken(events: &[Value]) -> Answer {
    text(200, &(lines(events) + "{\"type\":\"ADD"))
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

fn error(code: u16, reason: &str) -> Value {
    json!({ "type": "ERROR", "object": { "kind": "Status", "code": code, "reason": reason } })
}

fn gone() -> Value {
    error(410, "Expired")
}

#[derive(Clone)]
struct Server {
    kind: ObjectKind,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// What is asked for, where the watcher that the test is about asks; no other kind is asked for there.
    fn request(&self, uri: &Uri) -> Option<String> {
        let query = short(uri.query().unwrap_or_default());
        match self.kind {
            ObjectKind::Pod => (uri.path() == "/api/v1/pods").then_some(query),
            ObjectKind::ClusterNetworkPolicy => {
                let path = uri.path().strip_prefix("/apis/policy.networking.k8s.io/")?;
                (!path.starts_with("v1alpha1")).then(|| format!("{path} {query}").trim().to_owned())
            }
            other => panic!("nobody knows where {other:?} is"),
        }
    }
}

async fn answer(State(server): State<Server>, uri: Uri) -> Response<Body> {
    let next = server.request(&uri).and_then(|request| {
        server.asked.lock().unwrap().push(request);
        server.answers.lock().unwrap().pop_front()
    });
    let Some(Answer { status, body, retry_after, open }) = next else { return std::future::pending().await };
    let first = stream::iter([Ok::<_, Infallible>(Bytes::from(body))]);
    let body =
        if open { Body::from_stream(first.chain(stream::pending())) } else { Body::from_stream(first) };
    let mut response = Response::builder().status(status);
    if let Some(time) = retry_after {
        response = response.header("Retry-After", time);
    }
    response.body(body).unwrap()
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
    run_kind(ObjectKind::Pod, answers, last).await
}

async fn run_kind(kind: ObjectKind, answers: Vec<Answer>, last: &str) -> (Vec<String>, Vec<String>) {
    let answers = Arc::new(Mutex::new(answers.into()));
    let server = Server { kind, answers, asked: Arc::default() };
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
    let settings = WatchSettings { rediscovery_interval: PATIENCE };
    let (sender, mut news) = mpsc::channel(1);
    watchers(&client, &settings, &sender).into_iter().for_each(|watcher| drop(tasks.spawn(watcher)));

    let mut told = Vec::new();
    while told.last().is_none_or(|line| line != last) {
        let next = timeout(PATIENCE, news.recv()).await;
        assert!(next.is_ok(), "{last} does not come: {told:#?}");
        told.extend(line(&next.unwrap().unwrap(), kind));
    }
    let asked = server.asked.lock().unwrap().clone();
    (told, asked)
}

fn line(news: &WatchEvent, watched: ObjectKind) -> Option<String> {
    let (kind, line) = match news {
        WatchEvent::Served(..) => return None,
        WatchEvent::Init(kind) => (*kind, "listing".to_owned()),
        WatchEvent::InitDone(kind) => (*kind, "listed".to_owned()),
        WatchEvent::NotServed(kind) => (*kind, "absent for good".to_owned()),
        WatchEvent::Apply(object) => (object.reference().kind(), object.reference().to_string()),
        WatchEvent::Delete(reference) => (reference.kind(), format!("no {reference}")),
        WatchEvent::Unreadable { reference, why } => (reference.kind(), format!("{reference}? {why}")),
        WatchEvent::Failed(kind, WatchError::Refused { retry_after: Some(time), .. }) => {
            (*kind, format!("refused for {} s", time.as_secs()))
        }
        WatchEvent::Failed(kind, trouble) => (*kind, trouble.name().to_owned()),
        WatchEvent::Current(kind) => (*kind, "current".to_owned()),
        WatchEvent::Lost(kind, _) => (*kind, "lost".to_owned()),
        WatchEvent::Recovered(kind) => (*kind, "recovered".to_owned()),
    };
    (kind == watched).then_some(line)
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
    let (told, asked) = run(vec![broken(&events), watch(&[event("ADDED", "c", "7")])], "recovered").await;
    assert_eq!(
        told,
        [
            "listing",
            "Pod shop/a",
            "Pod shop/b",
            "listed",
            "current",
            "Pod shop/a",
            "no Pod shop/b",
            "lost",
            "unreachable",
            "Pod shop/c",
            "current",
            "recovered",
        ]
    );
    assert_eq!(
        asked,
        ["watch=true&sendInitialEvents=true&resourceVersion=", "watch=true&resourceVersion=6"],
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
            "current",
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
        watch(&[event("ADDED", "a", "1"), unreadable, bookmark("2", true), gone()]),
        watch(&[event("ADDED", "c", "3"), bookmark("3", true), json!("nonsense")]),
        watch(&[event("ADDED", "c", "3"), bookmark("3", true), event("ADDED", "d", "4")]),
    ];
    let (told, asked) = run(answers, "Pod shop/d").await;
    assert_eq!(
        told,
        [
            "refused",
            "listing",
            "Pod shop/a",
            "Pod shop/b? spec.containers[0].ports[0].containerPort: 99999 is no port: use 1 to 65535",
            "listed",
            "current",
            "recovered",
            "lost",
            "expired",
            "listing",
            "Pod shop/c",
            "listed",
            "current",
            "recovered",
            "lost",
            "malformed",
            "listing",
            "Pod shop/c",
            "listed",
            "current",
            "recovered",
            "Pod shop/d",
        ]
    );
    assert!(asked.iter().all(|query| query.contains("sendInitialEvents=true")), "{asked:?}");
}

/// Whatever goes wrong with a list that is sent as a watch, but for what would go wrong with pages, too: pages are asked
/// for. The last one is what a server on an etcd without progress notifications answers.
#[tokio::test]
async fn streams_that_fail() {
    for (name, failure) in [
        ("a bad gateway", text(502, "bad gateway")),
        ("an internal error", refused(500, "InternalError")),
        ("an error in the stream", watch(&[error(500, "InternalError")])),
        ("an error after some objects", watch(&[event("ADDED", "z", "1"), error(500, "InternalError")])),
    ] {
        let answers = vec![failure, page("9", "", &["a"]), watch(&[event("ADDED", "b", "10")])];
        let (told, asked) = run(answers, "Pod shop/b").await;
        assert!(told.contains(&"refused".to_owned()), "{name}: {told:?}");
        let first = "watch=true&sendInitialEvents=true&resourceVersion=";
        assert_eq!(asked, [first, "", "watch=true&resourceVersion=9"], "{name}");
    }
}

/// A watch that is answered and fails at once brings nothing: what is known is as old as before.
#[tokio::test]
async fn watches_that_fail_at_once() {
    let list = [event("ADDED", "a", "1"), bookmark("1", true)];
    let answers = vec![
        broken(&list),
        broken(&[]),
        watch(&[gone()]),
        watch(&[event("ADDED", "a", "2"), bookmark("2", true)]),
    ];
    let (told, _) = run(answers, "recovered").await;
    let list = ["listing", "Pod shop/a", "listed", "current"];
    let troubles = ["lost", "unreachable", "unreachable", "expired"];
    assert_eq!(told, [&list[..], &troubles, &list, &["recovered"]].concat());
}

/// One that goes on is one, though nothing happens.
#[tokio::test]
async fn a_watch_without_events() {
    let list = [event("ADDED", "a", "1"), bookmark("1", true)];
    let (told, _) = run(vec![broken(&list), watch(&[])], "recovered").await;
    assert_eq!(
        told,
        ["listing", "Pod shop/a", "listed", "current", "lost", "unreachable", "current", "recovered"]
    );
}

/// A watch that is resumed begins with what has happened in the meantime: until all of that has come, the kind is as old as
/// before, however many events come at once.
#[tokio::test]
async fn a_resumed_watch_is_current_once_it_has_caught_up() {
    let list = [event("ADDED", "a", "1"), bookmark("1", true)];
    let missed = [event("ADDED", "b", "2"), event("ADDED", "c", "3"), event("ADDED", "d", "4")];
    let with_bookmark = [&missed[..], &[bookmark("4", false), event("ADDED", "e", "5")]].concat();
    for (name, resumed, last) in [
        ("a bookmark says so", watch(&with_bookmark), "Pod shop/e"),
        ("nothing more comes", watch(&missed), "recovered"),
    ] {
        let (told, _) = run(vec![broken(&list), resumed], last).await;
        let before = ["listing", "Pod shop/a", "listed", "current", "lost", "unreachable"];
        let after = ["Pod shop/b", "Pod shop/c", "Pod shop/d", "current", "recovered"];
        let rest = if last == "recovered" { &[][..] } else { &[last] };
        assert_eq!(told, [&before[..], &after, rest].concat(), "{name}");
    }
}

fn group(kinds: &[&str]) -> Answer {
    let resources: Vec<Value> = kinds.iter().map(|name| json!({ "name": name })).collect();
    whole(200, &json!({ "resources": resources }))
}

/// A kind that is no longer served by the version that it was served by is looked for at once, and what was known of it
/// stays until it is found, or is known to be nowhere.
#[tokio::test]
async fn a_version_that_goes() {
    let kind = ObjectKind::ClusterNetworkPolicy;
    let policies = "clusternetworkpolicies";
    let policy = |name: &str| {
        let spec = json!({ "tier": "Admin", "priority": 1, "subject": { "namespaces": {} } });
        json!({ "type": "ADDED", "object": {
            "metadata": { "name": name, "resourceVersion": "1" }, "spec": spec,
        }})
    };
    let not_found = || text(404, "404 page not found");
    let begin = || {
        let list = broken(&[policy("a"), bookmark("1", true)]);
        vec![not_found(), group(&[policies]), list, not_found()]
    };
    let before = ["listing", "ClusterNetworkPolicy a", "listed", "current", "lost", "unreachable", "absent"];

    let moved = [group(&[policies]), watch(&[policy("b"), bookmark("2", true)])];
    let (told, asked) = run_kind(kind, begin().into_iter().chain(moved).collect(), "recovered").await;
    let after = ["listing", "ClusterNetworkPolicy b", "listed", "current", "recovered"];
    assert_eq!(told, [&before[..], &after].concat());
    assert_eq!(asked[4], "v1beta1");

    let nowhere = [not_found(), not_found()];
    let (told, _) = run_kind(kind, begin().into_iter().chain(nowhere).collect(), "absent for good").await;
    assert_eq!(told, [&before[..], &["absent for good"]].concat());
}

/// Servers that throttle say how long to wait in a header, some beside a text that is no object of the API.
#[tokio::test]
async fn a_server_that_asks_to_wait() {
    let throttled = |header| Answer { retry_after: Some(header), ..text(429, "Too many requests") };
    let list = [event("ADDED", "a", "1"), bookmark("1", true)];
    let answers = vec![throttled("1"), throttled("soon"), watch(&list)];
    let (told, _) = run(answers, "recovered").await;
    assert_eq!(
        told,
        ["refused for 1 s", "refused", "listing", "Pod shop/a", "listed", "current", "recovered"]
    );
}
