//! Cluster state from the Kubernetes API.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::sleep_until,
};
use tracing::{info, warn};

use super::options::ApiOptions;
use crate::{
    cluster::{
        Index, ObjectRef, Snapshot, SyncStatus,
        watch::{WatchError, WatchEvent, WatchSettings, connect, watchers},
    },
    kernel::monotonic_now,
    model::{Kinds, ObjectKind},
    policy::{ClusterView, Compiler, Engine},
    sink::metrics::Metrics,
};

/// How far apart two views are published at least: changes come in bursts.
const INTERVAL: Duration = Duration::from_millis(30);

/// Events that may wait to be handled; the watchers wait, too, while these are.
const BACKLOG: usize = 1024;

/// Events handled at a time.
const BATCH: usize = 256;

/// Compiles snapshots, each from what it made of the one before.
type Compile = Box<dyn FnMut(&Arc<Snapshot>) -> Arc<Engine> + Send>;

/// Follows the API, with the index that it owns. It alone publishes what is declared and how well that is known.
pub(super) struct Cluster {
    events: mpsc::Receiver<WatchEvent>,
    /// They end with this.
    _watchers: JoinSet<()>,
    index: Index,
    compile: Compile,
    metrics: Metrics,
    /// What was compiled last; `None` until all kinds are known.
    engine: Option<Arc<Engine>>,
    sync: SyncStatus,
    /// Objects that are there and can't be read.
    unreadable: HashSet<ObjectRef>,
    /// Kinds of which it is not known yet which objects there are, or that there are none.
    unknown: Kinds,
    /// While a kind is listed: what has been listed.
    listing: HashMap<ObjectKind, HashSet<ObjectRef>>,
    /// By kind: the present error, which has been logged.
    last_logged: HashMap<ObjectKind, &'static str>,
    /// When to publish what has changed.
    due: Option<Instant>,
    published: Option<Instant>,
}

impl Cluster {
    /// Starts to watch. The server need not be reachable yet; which server it is, and as whom to ask, has to be known.
    pub(super) async fn open(options: &ApiOptions, metrics: Metrics) -> Result<Self> {
        let client = connect(&options.credentials).await?;
        let (sender, events) = mpsc::channel(BACKLOG);
        let settings = WatchSettings { rediscovery_interval: options.rediscovery_interval };
        let watchers = watchers(&client, &settings, &sender).into_iter().collect();
        let mut compiler = Compiler::new();
        let compile = Box::new(move |snapshot: &Arc<Snapshot>| compiler.update(snapshot));
        Ok(Self::new(events, watchers, compile, metrics))
    }

    /// Creates one that knows nothing yet.
    fn new(
        events: mpsc::Receiver<WatchEvent>,
        watchers: JoinSet<()>,
        compile: Compile,
        metrics: Metrics,
    ) -> Self {
        Self {
            events,
            _watchers: watchers,
            index: Index::default(),
            compile,
            metrics,
            engine: None,
            sync: SyncStatus::default(),
            unreadable: HashSet::new(),
            unknown: ObjectKind::ALL.into_iter().collect(),
            listing: HashMap::new(),
            last_logged: HashMap::new(),
            due: None,
            published: None,
        }
    }

    /// Publishes a view after each change until nobody receives them. The first one with a state comes when each kind has
    /// been listed or refused.
    pub(super) async fn follow(mut self, views: watch::Sender<ClusterView>) -> Result<()> {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let due = self.due;
            tokio::select! {
                biased;
                () = views.closed() => return Ok(()),
                () = sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => {
                    let view = self.view();
                    views.send_replace(view);
                }
                _ = self.events.recv_many(&mut batch, BATCH) => {
                    // What was there at the start has no beginning.
                    if self.engine.is_some() {
                        self.index.set_time(monotonic_now());
                    }
                    batch.drain(..).for_each(|event| self.handle(event));
                }
            }
        }
    }

    /// All that is known now: the state with all objects that have come in, and how well each kind is known with these.
    fn view(&mut self) -> ClusterView {
        self.due = None;
        self.published = Some(Instant::now());
        if self.unknown.is_empty() {
            let snapshot = self.index.publish();
            if self.engine.is_none() {
                log_size(&snapshot);
            }
            self.engine = Some((self.compile)(&snapshot));
        }
        match &self.engine {
            Some(engine) => ClusterView { engine: engine.clone(), sync: self.sync },
            None => ClusterView { sync: self.sync, ..ClusterView::empty() },
        }
    }

    fn handle(&mut self, event: WatchEvent) {
        match event {
            WatchEvent::Served(kind, version) => self.sync.set_served(kind, version),
            WatchEvent::Init(kind) => {
                // Those that are still there are reported again.
                self.unreadable.retain(|reference| reference.kind() != kind);
                self.listing.insert(kind, HashSet::new());
            }
            WatchEvent::Apply(object) => {
                let reference = object.reference();
                if let Some(listed) = self.listing.get_mut(&reference.kind()) {
                    listed.insert(reference.clone());
                }
                self.readable(&reference);
                self.index.apply(object);
                self.changed();
            }
            WatchEvent::Delete(reference) => {
                self.readable(&reference);
                self.index.delete(&reference);
                self.changed();
            }
            WatchEvent::Unreadable { reference, why } => {
                warn!("{reference} can't be read: {why}; until it can, {}", needed_for(&reference));
                self.metrics.object_unreadable();
                self.index.delete(&reference);
                self.sync.set_unreadable(reference.kind(), true);
                if let Some(namespace) = reference.policy_namespace() {
                    self.index.hide_policy(namespace);
                }
                self.unreadable.insert(reference);
                self.changed();
            }
            WatchEvent::InitDone(kind) => {
                let listed = self.listing.remove(&kind).unwrap_or_default();
                self.known(kind, &listed);
            }
            WatchEvent::NotServed(kind) => {
                self.listing.remove(&kind);
                self.unreadable.retain(|reference| reference.kind() != kind);
                self.known(kind, &HashSet::new());
            }
            WatchEvent::Current(kind) => {
                self.sync.set_current(kind);
                self.changed();
            }
            WatchEvent::Lost(kind, last) => {
                self.sync.set_lost(kind, last);
                self.changed();
            }
            WatchEvent::Failed(kind, error) => self.failed(kind, &error),
            WatchEvent::Recovered(kind) => {
                if self.last_logged.remove(&kind).is_some() {
                    info!("{} are watched again", kind.plural());
                }
            }
        }
    }

    /// An object can be read, or is no longer there.
    fn readable(&mut self, reference: &ObjectRef) {
        if self.unreadable.remove(reference) {
            self.update_unreadable(reference.kind());
        }
    }

    /// Some of what could not be read may be so no longer. While a list is read, it is not known which.
    fn update_unreadable(&mut self, kind: ObjectKind) {
        if self.listing.contains_key(&kind) {
            return;
        }
        let mut unreadable = self.unreadable.iter().filter(|reference| reference.kind() == kind).peekable();
        self.sync.set_unreadable(kind, unreadable.peek().is_some());
        if kind == ObjectKind::NetworkPolicy {
            self.index.retain_hidden(&unreadable.filter_map(ObjectRef::policy_namespace).collect());
        }
    }

    /// These objects of a kind are all there are.
    fn known(&mut self, kind: ObjectKind, objects: &HashSet<ObjectRef>) {
        self.update_unreadable(kind);
        self.index.retain(kind, objects);
        self.unknown.remove(kind);
        self.changed();
    }

    /// The first change makes the next view due, as soon as the last one is old enough.
    fn changed(&mut self) {
        if self.due.is_none() {
            let now = Instant::now();
            self.due = Some(self.published.map_or(now, |last| now.max(last + INTERVAL)));
        }
    }

    /// Logs what is wrong once, not at every attempt; and that the server can't be reached once for all kinds.
    fn failed(&mut self, kind: ObjectKind, error: &WatchError) {
        self.metrics.watch_trouble(kind, error.name());
        if let WatchError::Forbidden(_) = error {
            // There is no use in waiting for it: without it, less can be judged, and more than nothing.
            self.unknown.remove(kind);
            self.sync.set_refused(kind);
            self.changed();
        }
        if self.last_logged.get(&kind) == Some(&error.name()) {
            return;
        }
        let elsewhere = self.last_logged.values().any(|name| *name == error.name());
        self.last_logged.insert(kind, error.name());
        match error {
            WatchError::Forbidden(_) => warn!("{error}; until then, {}", kind.needed_for()),
            WatchError::Unreachable(_) | WatchError::Silent(_) | WatchError::Refused { .. } if elsewhere => {}
            WatchError::Unreachable(_) | WatchError::Silent(_) => {
                warn!("{error}; what was known last stays in force until it is too old");
            }
            WatchError::Expired => info!("{}: {error}", kind.plural()),
            _ => warn!("{}: {error}", kind.plural()),
        }
    }
}

fn log_size(snapshot: &Snapshot) {
    info!(
        "the cluster is known: {} pods, {} policies in {} namespaces, {} nodes",
        snapshot.pods().count(),
        snapshot.network_policies().count() + snapshot.cluster_policies().count(),
        snapshot.namespaces().count(),
        snapshot.nodes().count(),
    );
}

/// What can't be judged without an object.
fn needed_for(reference: &ObjectRef) -> String {
    match reference.policy_namespace() {
        Some(namespace) => format!("no connection of a pod in {namespace} can be judged"),
        None => reference.kind().needed_for().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cluster::{Object, manifests},
        model::{Expected, Monotonic, Protocol, Undecidable},
        policy::{ConnectionPeer, Query},
    };

    const POLICY: &str = "
apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata: {name: closed}
spec: {priority: 10, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]}
";

    fn cluster() -> Cluster {
        let mut compiler = Compiler::new();
        let compile = Box::new(move |snapshot: &Arc<Snapshot>| compiler.update(snapshot));
        let mut cluster = Cluster::new(mpsc::channel(1).1, JoinSet::new(), compile, Metrics::default());
        cluster.unknown = Kinds::NONE;
        cluster
    }

    /// What the server does not have any more does not stay in force, whether or not it told of each object's end.
    #[test]
    fn objects_go_with_their_kind() {
        let kind = ObjectKind::AdminNetworkPolicy;
        let objects = manifests::parse("test", POLICY).objects;
        for (name, last) in [
            ("the kind is gone", vec![WatchEvent::NotServed(kind)]),
            ("a list without them", vec![WatchEvent::Init(kind), WatchEvent::InitDone(kind)]),
        ] {
            let mut cluster = cluster();
            cluster.handle(WatchEvent::Init(kind));
            objects.iter().cloned().map(WatchEvent::Apply).for_each(|event| cluster.handle(event));
            cluster.handle(WatchEvent::InitDone(kind));
            assert_eq!(cluster.view().engine.snapshot().cluster_policies().count(), 1, "{name}");
            last.into_iter().for_each(|event| cluster.handle(event));
            assert_eq!(cluster.view().engine.snapshot().cluster_policies().count(), 0, "{name}");
        }
    }

    const PODS: &str = "
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop}, status: {podIP: 10.0.0.1}}
- {apiVersion: v1, kind: Pod, metadata: {name: one, namespace: tools}, status: {podIP: 10.0.0.2}}
- {apiVersion: v1, kind: Pod, metadata: {name: other, namespace: tools}, status: {podIP: 10.0.0.3}}
- {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p, namespace: shop}}
";

    /// A NetworkPolicy that can't be read may decide any connection of its namespace's pods, and no other.
    #[test]
    fn a_network_policy_that_cannot_be_read() {
        let kind = ObjectKind::NetworkPolicy;
        let objects = manifests::parse("test", PODS).objects;
        let policy = objects.last().unwrap();
        let unreadable = || WatchEvent::Unreadable { reference: policy.reference(), why: "a test".into() };
        let elsewhere = ObjectRef::new(kind, Some("elsewhere"), "p");
        let other = || WatchEvent::Unreadable { reference: elsewhere.clone(), why: "a test".into() };
        let other_gone = || WatchEvent::Delete(elsewhere.clone());
        let (listing, listed) = (|| WatchEvent::Init(kind), || WatchEvent::InitDone(kind));
        for (name, events, is_hidden) in [
            ("it is there", vec![], true),
            ("while a list is read", vec![listing()], true),
            ("while a list is read, with others", vec![listing(), other(), other_gone()], true),
            ("it can be read again", vec![WatchEvent::Apply(policy.clone())], false),
            ("it is deleted", vec![WatchEvent::Delete(policy.reference())], false),
            ("a list without it", vec![listing(), listed()], false),
            ("a list with it", vec![listing(), unreadable(), listed()], true),
            ("a list with it, readable", vec![listing(), WatchEvent::Apply(policy.clone()), listed()], false),
        ] {
            let mut cluster = cluster();
            cluster.sync = SyncStatus::current();
            objects.iter().cloned().map(WatchEvent::Apply).for_each(|event| cluster.handle(event));
            cluster.view();
            cluster.handle(unreadable());
            events.into_iter().for_each(|event| cluster.handle(event));
            let engine = cluster.view().engine;
            let stale = |from: &str, to: &str| {
                let party = |address: &str| ConnectionPeer::Ip(address.parse().unwrap());
                let query = Query {
                    source: party(from),
                    destination: party(to),
                    protocol: Protocol::Tcp,
                    port: 80,
                    via_service: None,
                };
                engine.evaluate(&query).expected() == Expected::Undecidable(Undecidable::Stale)
            };
            for (from, to, depends) in [
                ("10.0.0.1", "10.0.0.2", true),
                ("10.0.0.2", "10.0.0.1", true),
                ("192.0.2.1", "10.0.0.1", true),
                ("10.0.0.2", "10.0.0.3", false),
                ("192.0.2.1", "10.0.0.2", false),
            ] {
                assert_eq!(stale(from, to), is_hidden && depends, "{name}: {from} > {to}");
            }
            let known = cluster.sync.usability(Monotonic::ZERO, Duration::MAX);
            assert!(!known.unusable.contains(kind), "{name}");
            assert_eq!(known.unknown.contains(kind), is_hidden, "{name}");
        }
    }

    /// What can't be read may decide any connection: until it can, or is gone, its kind is not known.
    #[test]
    fn an_object_that_cannot_be_read() {
        let kind = ObjectKind::AdminNetworkPolicy;
        let objects = manifests::parse("test", POLICY).objects;
        let reference = objects[0].reference();
        let unreadable = || WatchEvent::Unreadable { reference: reference.clone(), why: "a test".into() };
        for (name, events, is_gap) in [
            ("it is there", vec![], true),
            ("it can be read again", objects.iter().cloned().map(WatchEvent::Apply).collect(), false),
            ("it is deleted", vec![WatchEvent::Delete(reference.clone())], false),
            ("a list without it", vec![WatchEvent::Init(kind), WatchEvent::InitDone(kind)], false),
            ("a list with it", vec![WatchEvent::Init(kind), unreadable(), WatchEvent::InitDone(kind)], true),
            ("its kind is gone", vec![WatchEvent::NotServed(kind)], false),
        ] {
            let mut cluster = cluster();
            cluster.sync = SyncStatus::current();
            cluster.handle(unreadable());
            events.into_iter().for_each(|event| cluster.handle(event));
            let unusable = cluster.sync.usability(Monotonic::ZERO, Duration::MAX).unusable;
            assert_eq!(unusable.contains(kind), is_gap, "{name}");
        }
    }

    /// A cluster task whose compiler waits for permission before each run, and the views that it publishes.
    struct Stalled {
        events: mpsc::Sender<WatchEvent>,
        views: watch::Receiver<ClusterView>,
        /// Gets a word when the compiler has been asked.
        asked: std::sync::mpsc::Receiver<()>,
        /// Lets it run once.
        permit: std::sync::mpsc::Sender<()>,
    }

    impl Stalled {
        fn start() -> Self {
            let (events, receiver) = mpsc::channel(BACKLOG);
            let (has_asked, asked) = std::sync::mpsc::channel();
            let (permit, permitted) = std::sync::mpsc::channel();
            let mut compiler = Compiler::new();
            let compile = Box::new(move |snapshot: &Arc<Snapshot>| {
                has_asked.send(()).unwrap();
                permitted.recv().unwrap();
                compiler.update(snapshot)
            });
            let (sender, views) = watch::channel(ClusterView::empty());
            let cluster = Cluster::new(receiver, JoinSet::new(), compile, Metrics::default());
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(cluster.follow(sender)).unwrap();
            });
            Self { events, views, asked, permit }
        }

        fn send(&self, events: impl IntoIterator<Item = WatchEvent>) {
            events.into_iter().for_each(|event| self.events.blocking_send(event).unwrap());
        }

        /// Waits until the compiler has been asked for something. It does not get on with it.
        fn stall(&self) {
            self.asked.recv().unwrap();
        }

        /// Lets the compiler run, until this is what is published; returns all that was published on the way.
        fn settle(&self, end: (usize, Kinds)) -> Vec<(usize, Kinds)> {
            let mut seen = vec![self.published()];
            while seen.last() != Some(&end) {
                if self.asked.try_recv().is_ok() {
                    self.permit.send(()).unwrap();
                }
                let now = self.published();
                if seen.last() != Some(&now) {
                    seen.push(now);
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            seen
        }

        /// How many cluster-wide policies there are, and the kinds that can't be used.
        fn published(&self) -> (usize, Kinds) {
            let view = self.views.borrow();
            let unusable = view.sync.usability(monotonic_now(), Duration::ZERO).unusable;
            (view.engine.snapshot().cluster_policies().count(), unusable)
        }
    }

    /// While the compiler works on what a new list has brought, the old state is in force, and with it what was known of it:
    /// its gap is not closed before the new state is there. And what can't be read is a gap at once, not after it is gone.
    #[test]
    fn a_view_changes_as_a_whole() {
        let kind = ObjectKind::AdminNetworkPolicy;
        let (gap, none) = ([kind].into_iter().collect::<Kinds>(), Kinds::NONE);
        let policy = manifests::parse("test", POLICY).objects.remove(0);
        let reference = policy.reference();
        let list = |objects: Vec<Object>| {
            let ends = [WatchEvent::InitDone(kind), WatchEvent::Current(kind)];
            let begins = [WatchEvent::Init(kind)].into_iter();
            begins.chain(objects.into_iter().map(WatchEvent::Apply)).chain(ends).collect::<Vec<_>>()
        };
        let cluster = Stalled::start();
        let others = ObjectKind::ALL.into_iter().filter(|other| *other != kind);
        cluster.send(others.flat_map(|kind| [WatchEvent::NotServed(kind), WatchEvent::Current(kind)]));
        cluster.send(list(Vec::new()));
        cluster.settle((0, none));
        cluster.send([WatchEvent::Lost(kind, Monotonic::ZERO)]);
        cluster.settle((0, gap));

        cluster.send(list(vec![policy]));
        cluster.stall();
        assert_eq!(cluster.published(), (0, gap), "while the compiler works");
        cluster.permit.send(()).unwrap();
        let seen = cluster.settle((1, none));
        assert!(!seen.contains(&(0, none)), "the old state without its gap: {seen:?}");

        cluster.send([WatchEvent::Unreadable { reference, why: "a test".into() }]);
        cluster.stall();
        assert_eq!(cluster.published(), (1, none), "while the compiler works");
        cluster.permit.send(()).unwrap();
        let seen = cluster.settle((0, gap));
        assert!(!seen.contains(&(0, none)), "a new state without its gap: {seen:?}");
    }
}
