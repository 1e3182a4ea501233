//! One agent: from the start to the signal that ends it.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use netpol_common::PacketRecord;
use nix::time::{ClockId, clock_gettime};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tracing::{debug, info, warn};

use super::{Options, Pipeline, Setup, Track, sinks::Sinks, source};
use crate::{
    cluster::watch::SyncStatus,
    flow::Limits,
    kernel::{
        AttachError, Conntrack, Counters, InterfaceEvent, InterfaceWatcher, Loaded, Programs, Records, load,
        own_network_namespace, preflight, raise_file_limit,
    },
    model::{DropReasons, ObjectKind},
    policy::Engine,
    sink::{Health, Metrics, hubble::PeerList, serve},
    verify::Clock,
};

/// While records come in, how long to let them gather: the kernel wakes the agent for the first of a batch alone.
const BATCH: Duration = Duration::from_millis(10);

/// How often deadlines and metrics are looked after.
const TICK: Duration = Duration::from_millis(200);

/// How often it is looked whether all of the node's pods are seen, and what could not be attached is tried again.
const AUDIT_INTERVAL: Duration = Duration::from_secs(5);

/// Requests to look again at a veth's addresses that may wait.
const REFRESH_BACKLOG: usize = 64;

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
///
/// The machine lacks something that the agent needs, or a part of it has failed for good.
pub async fn run(options: Options) -> Result<()> {
    // From here on a signal ends the run in order, also while the programs are being loaded.
    let signals = Signals::new()?;
    preflight()?;
    if let Err(error) = raise_file_limit() {
        warn!("cannot raise the limit of open files ({error}): more than about 500 pods will not be seen");
    }
    let (metrics, health) = (Metrics::default(), Health::new(Instant::now().into_std()));
    let sinks = Sinks::open(&options, &metrics).await?;
    let Options { source, metrics: address, summary, node, grace, load: load_options, limits, .. } = options;
    let source = source::open(source, &metrics).await?;
    let batch_records = load_options.ring_bytes as usize / size_of::<PacketRecord>();
    let Loaded { programs, records, counters, drop_reasons, log } = load(load_options)?;
    let (veth_told, interfaces) = mpsc::unbounded_channel();
    let (refresh_requests, again_wanted) = mpsc::channel(REFRESH_BACKLOG);
    let interface_watcher = InterfaceWatcher::new(veth_told)?;
    let mut pipeline = Pipeline::new(setup(limits, grace, drop_reasons)?, metrics.clone());
    if let Some(state) = source.first {
        pipeline.set_state(state, monotonic_ns()?);
    }

    // They end with this.
    let mut tasks = JoinSet::new();
    let (peers, last) = sinks.connect(&mut pipeline, &mut tasks);
    if let Some(address) = address {
        tasks.spawn(metrics_server(address, metrics.clone(), health.clone()).await?);
    }
    tasks.spawn(source.follow);
    tasks.spawn(async { Ok(interface_watcher.run(again_wanted).await?) });
    if let Some(log) = log {
        tasks.spawn(async { log.forward().await.context("the programs' log") });
    }
    let agent = Agent {
        pipeline,
        programs,
        records,
        batch_records,
        counters,
        refresh_requests,
        unattached: BTreeMap::new(),
        knowledge: source.knowledge,
        interfaces_known: false,
        node,
        peers,
        health,
        metrics,
    };
    let result = agent.work(signals, interfaces, source.states, summary).await;
    last.end().await?;
    result.map_err(|error| cause(&mut tasks).unwrap_or(error))
}

fn setup(limits: Limits, grace: Duration, reasons: Option<DropReasons>) -> Result<Setup> {
    Ok(Setup {
        limits,
        grace_ns: u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX),
        host_netns: own_network_namespace(),
        reasons: reasons.unwrap_or_default(),
        clock: Clock::new(monotonic_ns()?, Timestamp::now()),
        track: track(),
    })
}

/// Asks the kernel's connection tracking, where there is one.
fn track() -> Track {
    match Conntrack::open() {
        Ok(mut conntrack) => Box::new(move |tuple| match conntrack.find(tuple) {
            Ok(tracked) => tracked,
            Err(error) => {
                debug!("connection tracking: {error}");
                None
            }
        }),
        Err(error) => {
            warn!(
                "cannot ask the kernel's connection tracking ({error}): of a Service's endpoints only those on this node are told apart, and a late datagram may be taken for a new conversation"
            );
            Box::new(|_| None)
        }
    }
}

/// Binds the address, so that a wrong one is told before anything runs, and serves until it is dropped.
async fn metrics_server(
    address: SocketAddr,
    metrics: Metrics,
    health: Health,
) -> Result<impl Future<Output = Result<()>>> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} (--metrics-addr)"))?;
    Ok(async move { match serve(listener, &metrics, health).await {} })
}

/// Why a task has failed: that says more than the stage that misses it.
fn cause(tasks: &mut JoinSet<Result<()>>) -> Option<anyhow::Error> {
    std::iter::from_fn(|| tasks.try_join_next()).find_map(|ended| ended.ok()?.err())
}

/// What asks the agent to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// A veth that the programs are to be attached to.
struct Unattached {
    name: Arc<str>,
    /// When it was heard of, where it came while the agent was watching.
    heard: Option<Instant>,
    /// Whether it was said that it can't be done.
    told: bool,
}

/// The one task that owns the stages.
struct Agent {
    pipeline: Pipeline,
    programs: Programs,
    records: Records,
    /// Records taken at a time, before signals and veths have their turn: no fewer than the ring can hold, so that what
    /// was in it has been taken.
    batch_records: usize,
    counters: Counters,
    refresh_requests: mpsc::Sender<u32>,
    unattached: BTreeMap<u32, Unattached>,
    knowledge: source::Age,
    /// Whether all veths that were there at the start have been found.
    interfaces_known: bool,
    /// This node's name in the cluster, where it is known.
    node: Option<String>,
    /// Where clients of Hubble's API learn of other nodes.
    peers: Option<PeerList>,
    health: Health,
    metrics: Metrics,
}

impl Agent {
    async fn work(
        mut self,
        mut signals: Signals,
        mut interfaces: mpsc::UnboundedReceiver<InterfaceEvent>,
        mut states: watch::Receiver<Arc<Engine>>,
        summary: bool,
    ) -> Result<()> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut audit_interfaces = interval(AUDIT_INTERVAL);
        audit_interfaces.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // While a batch gathers: when to take it.
        let mut batch: Option<Instant> = None;
        loop {
            self.health.works(Instant::now().into_std());
            tokio::select! {
                biased;
                () = signals.stop() => break,
                change = interfaces.recv() => self.veth(change.context("the veth watcher has ended")?)?,
                changed = states.changed() => {
                    changed.context("the source of the cluster's state has ended")?;
                    let state = states.borrow_and_update().clone();
                    let now = monotonic_ns()?;
                    self.pipeline.set_state(state, now);
                    self.update_status(now);
                }
                // Before records: where these come without end, deadlines are due all the same.
                _ = tick.tick() => self.tick()?,
                _ = audit_interfaces.tick() => self.audit_interfaces()?,
                ready = self.records.ready(), if batch.is_none() => {
                    ready.context("the ring buffer")?;
                    batch = Some(Instant::now());
                }
                () = sleep_until(batch.unwrap_or_else(Instant::now)), if batch.is_some() => {
                    let count = self.drain();
                    batch = (count > 0).then(|| Instant::now() + if count == self.batch_records { Duration::ZERO } else { BATCH });
                }
            }
        }
        self.programs.detach_all();
        while self.drain() > 0 {}
        self.tick()?;
        self.pipeline.finish(summary);
        Ok(())
    }

    fn audit_interfaces(&mut self) -> Result<()> {
        self.attach_again()?;
        if let Some(node) = self.node.as_deref().filter(|_| self.interfaces_known) {
            self.pipeline.count_unseen(node);
        }
        if let Some(peers) = &self.peers {
            peers.set(self.pipeline.nodes());
        }
        Ok(())
    }

    fn drain(&mut self) -> usize {
        let Self { pipeline, refresh_requests, records, batch_records, .. } = self;
        records.drain(*batch_records, |bytes| {
            if let Some(ifindex) = pipeline.record(bytes) {
                // Full: so many are waiting already; the next strange packet asks again.
                let _ = refresh_requests.try_send(ifindex);
            }
        })
    }

    fn veth(&mut self, change: InterfaceEvent) -> Result<()> {
        match change {
            InterfaceEvent::Added { ifindex, name, heard } => {
                let heard = self.interfaces_known.then_some(heard.into());
                self.attach(ifindex, Unattached { name, heard, told: false })?;
            }
            InterfaceEvent::Addresses { ifindex, addresses } => {
                self.pipeline.interfaces_mut().set_addresses(ifindex, addresses);
            }
            InterfaceEvent::Removed { ifindex } => {
                self.unattached.remove(&ifindex);
                self.programs.forget(ifindex);
                self.pipeline.interfaces_mut().gone(ifindex, monotonic_ns()?);
            }
            InterfaceEvent::Host(addresses) => self.pipeline.interfaces_mut().set_host(addresses),
            InterfaceEvent::Synced => {
                self.interfaces_known = true;
                self.tick()?;
            }
            InterfaceEvent::Resynced => {
                warn!("link messages were missed; the list of veths was read anew");
                self.metrics.netlink_resync();
            }
        }
        Ok(())
    }

    /// Attaches the programs; where that fails, it is tried again until the interface is gone.
    fn attach(&mut self, ifindex: u32, mut veth: Unattached) -> Result<()> {
        match self.programs.attach(ifindex) {
            Ok(()) => {
                let now = monotonic_ns()?;
                self.pipeline.interfaces_mut().attached(ifindex, veth.name, now);
                if let Some(heard) = veth.heard {
                    let since = u64::try_from(heard.elapsed().as_nanos()).unwrap_or(u64::MAX);
                    self.pipeline.interfaces_mut().created(ifindex, now.saturating_sub(since));
                }
                return Ok(());
            }
            Err(error @ AttachError::Refused { .. }) if !veth.told => {
                warn!("{error}: connections of its pod are not seen until the kernel agrees");
                self.metrics.attach_error();
                veth.told = true;
            }
            Err(_) => {}
        }
        self.unattached.insert(ifindex, veth);
        Ok(())
    }

    fn attach_again(&mut self) -> Result<()> {
        for (ifindex, veth) in std::mem::take(&mut self.unattached) {
            self.attach(ifindex, veth)?;
            if self.programs.is_attached(ifindex) {
                info!("attached to the interface with index {ifindex} after all");
                // Its addresses were told while nobody knew of it.
                let _ = self.refresh_requests.try_send(ifindex);
            }
        }
        Ok(())
    }

    fn tick(&mut self) -> Result<()> {
        // What has happened until now is known first: all records of it, and then how many are missing.
        let now = monotonic_ns()?;
        self.drain();
        self.pipeline.kernel_counters(monotonic_ns()?, |counter| self.counters.read(counter));
        self.pipeline.expire(now, Timestamp::now());
        self.update_status(now);
        Ok(())
    }

    /// How well the cluster is known now.
    fn update_status(&mut self, now_ns: u64) {
        let SyncStatus { gaps, unknown, awaited, age, pods_age } = self.knowledge.now();
        self.pipeline.set_gaps(gaps);
        self.pipeline.set_pods_as_of(as_of(now_ns, pods_age));
        self.metrics.unknown(unknown);
        self.pipeline.refresh_metrics(self.programs.attached(), age.as_secs_f64());
        // What can't be had, or can't be read, is told by metrics: to wait for it would hold up an update of all agents.
        let heard = self.pipeline.has_state() && !awaited.iter().any(ObjectKind::is_essential);
        if self.interfaces_known && heard && !self.health.is_ready() {
            self.health.ready();
            info!("ready: watching {} veths ({:?})", self.programs.attached(), self.programs.mode());
        }
    }
}

/// `CLOCK_MONOTONIC` in nanoseconds, as `bpf_ktime_get_ns` gives it.
pub(super) fn monotonic_ns() -> Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).context("clock_gettime(CLOCK_MONOTONIC)")?;
    Ok(u64::try_from(now.tv_sec())? * 1_000_000_000 + u64::try_from(now.tv_nsec())?)
}

/// Until when what is known was current, where it was so this long ago.
fn as_of(now_ns: u64, age: Duration) -> u64 {
    let age_ns = u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
    if age.is_zero() { u64::MAX } else { now_ns.saturating_sub(age_ns) }
}
