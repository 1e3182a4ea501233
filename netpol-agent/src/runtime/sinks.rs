//! All sinks of a run: builds them, passes outputs to them, and waits for them at the end.

use anyhow::Result;
use tokio::{
    task::{AbortHandle, JoinHandle, JoinSet},
    time::timeout,
};
use tracing::warn;

use crate::{
    model::{LossCause, Output},
    sink::{Built, Drain, Sink, SinkArgs, SinkContext},
};

/// The sinks that receive the pipeline's outputs.
#[derive(Default)]
pub(super) struct Sinks {
    sinks: Vec<Box<dyn Sink>>,
}

/// The sink tasks that are awaited at the end of the run.
#[derive(Default)]
pub(super) struct SinkHandles {
    drains: Vec<(JoinHandle<Result<()>>, Drained)>,
}

/// How long to wait for a task, and what to log if it takes longer.
struct Drained {
    limit: std::time::Duration,
    too_late: &'static str,
}

impl Sinks {
    /// Builds all configured sinks, and starts their tasks.
    ///
    /// # Errors
    ///
    /// A sink can't be built.
    pub(super) async fn open(
        args: SinkArgs,
        context: &SinkContext,
        tasks: &mut JoinSet<Result<()>>,
    ) -> Result<(Self, SinkHandles)> {
        let (mut this, mut handles) = (Self::default(), SinkHandles::default());
        for Built { sink, serve, drain } in args.build(context).await? {
            this.sinks.push(sink);
            if let Some(task) = serve {
                let _: AbortHandle = tasks.spawn(task);
            }
            if let Some(Drain { task, limit, too_late }) = drain {
                handles.drains.push((tokio::spawn(task), Drained { limit, too_late }));
            }
        }
        Ok((this, handles))
    }

    /// Passes an output to all sinks.
    pub(super) fn take(&mut self, output: &mut Output) {
        if let Output::Status(status) = output {
            status.losses.extend(self.losses());
        }
        for sink in &mut self.sinks {
            match output {
                Output::Flow(flow) => sink.flow(flow),
                Output::Finding { finding, time } => sink.finding(finding, *time),
                Output::Status(status) => sink.status(status),
                Output::Summary(summary) => sink.summary(summary),
                Output::Conntrack(_) | Output::RefreshInterface(_) => {}
            }
        }
    }

    fn losses(&self) -> Vec<(LossCause, u64)> {
        self.sinks.iter().filter_map(|sink| sink.lost()).collect()
    }
}

impl SinkHandles {
    /// Waits until the remaining output is written, at most for each task's time limit. The sinks must be dropped
    /// before.
    ///
    /// # Errors
    ///
    /// A sink has failed, such as standard output.
    pub(super) async fn end(self) -> Result<()> {
        for (task, Drained { limit, too_late }) in self.drains {
            match timeout(limit, task).await {
                Ok(result) => result??,
                Err(_) => warn!("{too_late}"),
            }
        }
        Ok(())
    }
}
