//! Runs the agent: loads the eBPF programs, starts the tasks, feeds the pipeline, and stops on SIGTERM or SIGINT.
//!
//! One task owns the pipeline. It receives records, interface events, cluster views and ticks, and passes them on as
//! inputs.

use std::{fs::File, net::SocketAddr, sync::Arc, time::Duration};

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
    NamespaceOptions, Options, SourceOptions,
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

/// How long records are collected before they are read. The kernel wakes the agent only for the first record of a
/// batch.
const BATCH: Duration = Duration::from_millis(10);

/// How often deadlines are checked and metrics are updated.
const TICK: Duration = Duration::from_millis(200);

/// How often the agent retries to attach the programs to interfaces where that failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// The number of requests to refresh an interface's addresses that may wait in the channel.
const REFRESH_BACKLOG: usize = 64;

/// Runs the agent until SIGTERM or SIGINT.
///
/// # Errors
///
/// The node lacks something that the agent needs, or one of the agent's tasks has failed.
pub async fn run(options: Options) -> Result<()> {
    // From here on a signal stops the agent gracefully, even while the programs are being loaded.
    let signals = Signals::new()?;
    preflight()?;
    if let Err(error) = raise_file_limit() {
        warn!(
            "cannot raise the limit of open files ({error}): the agent can't watch more than about 250 pods"
        );
    }
    let Options {
        source,
        sinks,
        metrics: address,
        capture,
        node,
        grace,
        namespaces,
        load: load_options,
        limits,
    } = options;
    let (metrics, health) = (Metrics::default(), Health::new(Instant::now().into_std()));
    // Dropping the set aborts its tasks.
    let mut tasks = JoinSet::new();
    let context = SinkContext { node: node.clone(), api: credentials(&source), metrics: metrics.clone() };
    let (sinks, handles) = Sinks::open(sinks, &context, &mut tasks).await?;
    let source = source::open(source, &metrics).await?;
    let batch_records = load_options.ring_bytes as usize / size_of::<PacketRecord>();
    let Loaded { mut programs, records, counters, drop_reasons, log } = load(load_options)?;
    let (interface_events, interfaces) = mpsc::unbounded_channel();
    let (refresh, refresh_requests) = mpsc::channel(REFRESH_BACKLOG);
    let ends = if namespaces.is_some() { "inside the pods" } else { "from the node" };
    let namespaces = namespaces.map(|NamespaceOptions { helper, folders }| (helper, folders));
    if let Some((helper, _)) = &namespaces {
        programs.set_helper(Arc::clone(helper));
    }
    let interface_watcher = InterfaceWatcher::new(namespaces, interface_events)?;
    let host_netns = own_network_namespace();
    let config = PipelineConfig {
        limits,
        grace,
        stale_after: source.stale_after,
        host_netns,
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
        interfaces: Interfaces::new(programs, refresh, metrics, host_netns),
        ends,
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

/// Opens the kernel's connection tracking. `None` if it is not available.
fn conntrack() -> Option<Conntrack> {
    Conntrack::open()
        .inspect_err(|error| {
            warn!(
                "cannot query the kernel's connection tracking ({error}): a Service's endpoint is known only if it runs on this node, and a late datagram may count as a new connection"
            );
        })
        .ok()
}

/// Binds the address and returns the server's task. An invalid address is reported at once. The server runs until the
/// task is dropped.
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

/// Returns the error of a failed task. It explains more than the error of the stage that depends on the task.
fn cause(tasks: &mut JoinSet<Result<()>>) -> Option<anyhow::Error> {
    std::iter::from_fn(|| tasks.try_join_next()).find_map(|result| result.ok()?.err())
}

/// The signals that stop the agent.
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

/// The pipeline, and everything that receives its outputs.
struct Stages {
    pipeline: Pipeline,
    sinks: Sinks,
    conntrack: Option<Conntrack>,
    refresh: mpsc::Sender<u32>,
    capture: Option<CaptureWriter<File>>,
    is_ready: bool,
}

impl Stages {
    /// Feeds one input to the pipeline, and answers the conntrack queries that result from it.
    fn feed(&mut self, input: Input<'_>) {
        let mut queries = self.step(input);
        while let Some(query) = queries.pop() {
            let answer = self.conntrack.as_mut().and_then(|conntrack| find(conntrack, &query));
            queries.extend(self.step(Input::Conntrack { query, answer }));
        }
    }

    /// Feeds one input to the pipeline, and passes the outputs on. Returns the conntrack queries that result from it.
    fn step(&mut self, input: Input<'_>) -> Vec<ConntrackQuery> {
        let Self { pipeline, sinks, refresh, capture, is_ready, .. } = self;
        if let Some(writer) = capture
            && let Err(error) = writer.write(&input)
        {
            warn!("the capture has stopped: {error:#}");
            *capture = None;
        }
        // An empty Vec does not allocate memory.
        let mut queries = Vec::new();
        pipeline.step(input, &mut |mut output| {
            match &output {
                Output::Conntrack(query) => queries.push(*query),
                Output::RefreshInterface(ifindex) => {
                    // This fails if the channel is full. The next packet of that kind requests a refresh again.
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

/// The task that feeds the pipeline. There is only one.
struct Agent {
    stages: Stages,
    interfaces: Interfaces,
    records: Records,
    /// The number of records that are read at a time, before signals and interfaces are handled. It is at least the
    /// number of records that the ring buffer can hold, so one read empties the ring buffer.
    batch_records: usize,
    counters: Counters,
    health: Health,
    /// At which end of the pods' interfaces packets to the pods are seen, for the log.
    ends: &'static str,
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
        // While records are collected: when to read the batch.
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
                // This is before the records, so that deadlines are checked even if records never stop.
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

    /// Processes the remaining records, and waits until all output is written.
    async fn end(mut self, handles: SinkHandles) -> Result<()> {
        self.interfaces.detach_all();
        while self.drain() > 0 {}
        self.tick();
        self.stages.feed(Input::Finish);
        // Dropping the sinks closes their queues.
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
        // First the pipeline gets everything that has happened until now: all records, and then the counters of lost
        // ones.
        let now = monotonic_now();
        self.drain();
        let counts = KernelCounts::read(|counter| self.counters.read(counter));
        self.stages.feed(Input::Counters { counts, at: monotonic_now() });
        self.stages.feed(Input::Tick { now, time: Timestamp::now() });
        // Kinds that can't be listed and objects that can't be read are visible in metrics. Waiting for them here
        // would block a rolling update of the agents.
        if self.stages.is_ready && !self.health.is_ready() {
            self.health.ready();
            let (count, mode, ends) = (self.interfaces.attached(), self.interfaces.mode(), self.ends);
            info!("ready: watching {count} interfaces {ends} ({mode:?})");
        }
    }
}
