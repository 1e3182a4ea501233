//! Those who are told what the agent finds, but for those who scrape its metrics.

use std::{io, time::Duration};

use anyhow::{Context as _, Result, anyhow};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tracing::warn;

use super::{Options, Pipeline, events, hubble};
use crate::sink::{Events, LineWriter, Lines, Metrics, hubble::PeerList, writer};

/// At the end, how long a reader of the lines may take for what is left, and how often it is looked whether it has.
const LAST_LINES: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(10);

/// At the end: how long the last Events may take. The next agent finds again what still holds.
const LAST_EVENTS: Duration = Duration::from_secs(1);

/// What was chosen, opened.
pub(super) struct Sinks {
    lines: Option<(Lines, LineWriter)>,
    events: Option<(Events, events::EventWriter)>,
    hubble: Option<hubble::HubbleServer>,
}

/// What has to come to its end after the pipeline has.
pub(super) struct SinkHandles {
    lines: Option<LineWriter>,
    events: JoinSet<()>,
}

impl Sinks {
    /// # Errors
    ///
    /// One of them can't be had; before anything runs.
    pub(super) async fn open(options: &Options, metrics: &Metrics) -> Result<Self> {
        let Options { source, output, findings_only, hubble, node, .. } = options;
        let node = node.as_deref();
        let hubble = match hubble {
            Some(hubble) => Some(hubble::open(hubble.clone(), node).await?),
            None => None,
        };
        Ok(Self {
            hubble,
            events: events::open(source, node, metrics).await?,
            lines: output.map(|format| writer(format, *findings_only, io::stdout())).transpose()?,
        })
    }

    /// The pipeline tells them from now on. Hands back where Hubble's clients learn of nodes, too.
    pub(super) fn connect(
        self,
        pipeline: &mut Pipeline,
        tasks: &mut JoinSet<Result<()>>,
    ) -> (Option<PeerList>, SinkHandles) {
        let Self { lines, events, hubble } = self;
        let mut last = SinkHandles { lines: None, events: JoinSet::new() };
        if let Some((lines, thread)) = lines {
            pipeline.print_to(lines);
            last.lines = Some(thread);
        }
        if let Some((events, writer)) = events {
            pipeline.tell_events(events);
            last.events.spawn(writer.run());
        }
        let peers = hubble.map(|hubble::HubbleServer { recorder, peers, serve }| {
            pipeline.record_to(recorder);
            tasks.spawn(serve);
            peers
        });
        (peers, last)
    }
}

impl SinkHandles {
    /// Waits for what is left to be told, unless nobody takes it any more.
    ///
    /// # Errors
    ///
    /// Standard output failed.
    pub(super) async fn end(self) -> Result<()> {
        let Self { lines, mut events } = self;
        if let Some(thread) = lines {
            last_lines(thread).await?;
        }
        // It ends with the pipeline, unless the API server keeps it; what is left then goes with this.
        let _ = timeout(LAST_EVENTS, events.join_next()).await;
        Ok(())
    }
}

async fn last_lines(thread: LineWriter) -> Result<()> {
    let start = Instant::now();
    while !thread.is_finished() {
        if start.elapsed() > LAST_LINES {
            warn!("standard output is read no more: the last lines are lost");
            return Ok(());
        }
        sleep(LOOK).await;
    }
    thread.join().map_err(|_| anyhow!("the thread that writes lines has failed"))?.context("standard output")
}
