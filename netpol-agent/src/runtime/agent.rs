//! One agent: from the start to the signal that ends it.

use std::{fs::File, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use netpol_common::PacketRecord;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tracing::{debug, info, warn};

use super::{
    Options, SourceOptions,
    interfaces::Interfaces,
    sinks::{SinkHandles, Sinks},
    source,
};
use crate::{
    capture::CaptureWriter,
    kernel::{
        Conntrack, Counters, InterfaceEvent, InterfaceWatcher, Loaded, Records, load, monotonic_now,
        own_network_namespace, preflight, raise_file_limit,
    },
    model::{ConntrackEntry, ConntrackQuery, Output},
    pipeline::{Input, KernelCounts, Pipeline, PipelineConfig},
    policy::ClusterView,
    sink::{
        SinkContext,
        metrics::{Health, Metrics, serve},
    },
    verify::Clock,
};

/// While records come in, how long to let them gather: the kernel wakes the agent for the first of a batch alone.
const BATCH: Duration = Duration::from_millis(10);

/// How often deadlines and metrics are looked after.
const TICK: Duration = Duration::from_millis(200);

/// How often it is tried again to attach to interfaces that refused.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Requests to read an interface's addresses again that may wait.
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
    let Options { source, sinks, metrics: address, capture, node, grace, load: load_options, limits } =
        options;
    let (metrics, health) = (Metrics::default(), Health::new(Instant::now().into_std()));
    // They end with this.
    let mut tasks = JoinSet::new();
    let context = SinkContext { node: node.clone(), api: credentials(&source), metrics: metrics.clone() };
    let (sinks, handles) = Sinks::open(sinks, &context, &mut tasks).await?;
    let source = source::open(source, &metrics).await?;
    let batch_records = load_options.ring_bytes as usize / size_of::<PacketRecord>();
    let Loaded { programs, records, counters, drop_reasons, log } = load(load_options)?;
    let (interface_events, interfaces) = mpsc::unbounded_channel();
    let (refresh, refresh_requests) = mpsc::channel(REFRESH_BACKLOG);
    let interface_watcher = InterfaceWatcher::new(interface_events)?;
    let config = PipelineConfig {
        limits,
        grace,
        stale_after: source.stale_after,
        host_netns: own_network_namespace(),
        reasons: drop_reasons.unwrap_or_default(),
        clock: Clock::new(monotonic_now(), Timestamp::now()),
        node,
    };
    let capture = capture.map(|path| CaptureWriter::create(&path, &config)).transpose()?;
    if let Some(address) = address {
        tasks.spawn(metrics_server(address, metrics.clone(), health.clone()).await?);
    }
    tasks.spawn(source.follow);
    tasks.spawn(async { Ok(interface_watcher.run(refresh_requests).await?) });
    if let Some(log) = log {
        tasks.spawn(async { log.forward().await.context("the programs' log") });
    }
    let agent = Agent {
        stages: Stages {
            pipeline: Pipeline::new(config),
            sinks,
            conntrack: conntrack(),
            refresh: refresh.clone(),
            capture,
            is_ready: false,
        },
        interfaces: Interfaces::new(programs, refresh, metrics),
        records,
        batch_records,
        counters,
        health,
    };
    let result = agent.work(signals, interfaces, source.views, handles).await;
    result.map_err(|error| cause(&mut tasks).unwrap_or(error))
}

fn credentials(source: &SourceOptions) -> Option<crate::cluster::watch::Credentials> {
    match source {
        SourceOptions::Api(options) => Some(options.credentials.clone()),
        SourceOptions::Manifests(_) => None,
    }
}

/// The kernel's connection tracking, where there is one.
fn conntrack() -> Option<Conntrack> {
    Conntrack::open()
        .inspect_err(|error| {
            warn!(
                "cannot ask the kernel's connection tracking ({error}): of a Service's endpoints only those on this node are told apart, and a late datagram may be taken for a new conversation"
            );
        })
        .ok()
}

/// Binds the address, so that a wrong one is reported before anything runs, and serves until it is dropped.
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

/// Why a task has failed: that explains more than the stage that misses it.
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

/// The pipeline, and those who get its outputs.
struct Stages {
    pipeline: Pipeline,
    sinks: Sinks,
    conntrack: Option<Conntrack>,
    refresh: mpsc::Sender<u32>,
    capture: Option<CaptureWriter<File>>,
    is_ready: bool,
}

impl Stages {
    /// Takes in one input, and whatever has to be asked because of it.
    fn feed(&mut self, input: Input<'_>) {
        let mut queries = self.step(input);
        while let Some(query) = queries.pop() {
            let answer = self.conntrack.as_mut().and_then(|conntrack| find(conntrack, &query));
            queries.extend(self.step(Input::Conntrack { query, answer }));
        }
    }

    /// Hands out what follows from an input; what connection tracking is to be asked comes back.
    fn step(&mut self, input: Input<'_>) -> Vec<ConntrackQuery> {
        let Self { pipeline, sinks, refresh, capture, is_ready, .. } = self;
        if let Some(writer) = capture
            && let Err(error) = writer.write(&input)
        {
            warn!("no more inputs are captured: {error:#}");
            *capture = None;
        }
        // Nothing is allocated where nothing is asked.
        let mut queries = Vec::new();
        pipeline.step(input, &mut |mut output| {
            match &output {
                Output::Conntrack(query) => queries.push(*query),
                Output::RefreshInterface(ifindex) => {
                    // Full: so many are waiting already; the next packet of that kind asks again.
                    let _ = refresh.try_send(*ifindex);
                }
                Output::Status(status) => *is_ready = status.is_ready,
                _ => {}
            }
            sinks.take(&mut output);
        });
        queries
    }
}

fn find(conntrack: &mut Conntrack, query: &ConntrackQuery) -> Option<ConntrackEntry> {
    conntrack.find(&query.tuple).unwrap_or_else(|error| {
        debug!("connection tracking: {error}");
        None
    })
}

/// The one task that feeds the pipeline.
struct Agent {
    stages: Stages,
    interfaces: Interfaces,
    records: Records,
    /// Records taken at a time, before signals and interfaces have their turn: no fewer than the ring can hold, so that what
    /// was in it has been taken.
    batch_records: usize,
    counters: Counters,
    health: Health,
}

impl Agent {
    async fn work(
        mut self,
        mut signals: Signals,
        mut interfaces: mpsc::UnboundedReceiver<InterfaceEvent>,
        mut views: watch::Receiver<ClusterView>,
        handles: SinkHandles,
    ) -> Result<()> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut retry = interval(RETRY_INTERVAL);
        retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.view(&mut views);
        // While a batch gathers: when to take it.
        let mut batch: Option<Instant> = None;
        loop {
            self.health.works(Instant::now().into_std());
            tokio::select! {
                biased;
                () = signals.stop() => break,
                event = interfaces.recv() => self.interface(event.context("the interface watcher has ended")?),
                changed = views.changed() => {
                    changed.context("the source of the cluster's state has ended")?;
                    self.view(&mut views);
                }
                // Before records: where these come without end, deadlines are due all the same.
                _ = tick.tick() => self.tick(),
                _ = retry.tick() => {
                    let Self { stages, interfaces, .. } = &mut self;
                    interfaces.retry(&mut |change| stages.feed(Input::Interface(change)));
                }
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
        self.end(handles).await
    }

    /// Takes in what there still is, and waits until it is written.
    async fn end(mut self, handles: SinkHandles) -> Result<()> {
        self.interfaces.detach_all();
        while self.drain() > 0 {}
        self.tick();
        self.stages.feed(Input::Finish);
        // With the sinks their queues end.
        drop(self.stages);
        handles.end().await
    }

    fn view(&mut self, views: &mut watch::Receiver<ClusterView>) {
        let view = views.borrow_and_update().clone();
        self.stages.feed(Input::View { view, at: monotonic_now() });
    }

    fn drain(&mut self) -> usize {
        let Self { stages, records, batch_records, .. } = self;
        records.drain(*batch_records, |bytes| stages.feed(Input::Record(bytes)))
    }

    fn interface(&mut self, event: InterfaceEvent) {
        let Self { stages, interfaces, .. } = self;
        let is_synced = event == InterfaceEvent::Synced;
        interfaces.handle(event, &mut |change| stages.feed(Input::Interface(change)));
        if is_synced {
            self.tick();
        }
    }

    fn tick(&mut self) {
        // What has happened until now is known first: all records of it, and then how many are missing.
        let now = monotonic_now();
        self.drain();
        let counts = KernelCounts::read(|counter| self.counters.read(counter));
        self.stages.feed(Input::Counters { counts, at: monotonic_now() });
        self.stages.feed(Input::Tick { now, time: Timestamp::now() });
        // What can't be had, or can't be read, shows in metrics: to wait for it would hold up an update of all agents.
        if self.stages.is_ready && !self.health.is_ready() {
            self.health.ready();
            info!("ready: watching {} veths ({:?})", self.interfaces.attached(), self.interfaces.mode());
        }
    }
}
