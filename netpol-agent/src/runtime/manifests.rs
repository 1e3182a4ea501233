//! Cluster state from files, read anew when one changes.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use notify::{RecursiveMode, Watcher as _};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use super::agent::monotonic_ns;
use crate::{
    cluster::{Index, manifests, watch::Freshness},
    model::ObjectKind,
    policy::{Compiler, Engine},
    sink::Metrics,
};

/// Editors and volume mounts change files in several steps: wait for the last one.
const SETTLE: Duration = Duration::from_millis(100);

/// Reads manifests into the index that it owns.
pub(super) struct Manifests {
    paths: Vec<PathBuf>,
    index: Index,
    compiler: Compiler,
    /// Known are all kinds, once all that is written could be read.
    freshness: Freshness,
    metrics: Metrics,
}

impl Manifests {
    /// Reads them for the first time: what can't be read is reported, and until it can, nothing is judged.
    pub(super) fn open(
        paths: Vec<PathBuf>,
        freshness: Freshness,
        metrics: Metrics,
    ) -> Result<(Self, Arc<Engine>)> {
        let mut this = Self { paths, index: Index::default(), compiler: Compiler::new(), freshness, metrics };
        let loaded = manifests::load(&this.paths)?;
        this.report(&loaded);
        if loaded.objects.is_empty() {
            let paths: Vec<String> = this.paths.iter().map(|path| path.display().to_string()).collect();
            bail!(
                "no Kubernetes object in {}: netpol reads Namespaces, Pods and policies from *.yaml, *.yml and *.json",
                paths.join(", ")
            );
        }
        if loaded.errors.is_empty() {
            this.known();
        } else {
            warn!("no connection is judged until that is repaired: what is missing may decide any of them");
        }
        let state = this.apply(loaded);
        Ok((this, state))
    }

    fn known(&self) {
        ObjectKind::ALL.into_iter().for_each(|kind| self.freshness.current(kind));
    }

    fn report(&self, loaded: &manifests::Manifests) {
        for error in &loaded.errors {
            warn!("{error}");
        }
        for note in &loaded.notes {
            info!("{}:{}: {}", note.file, note.line, note.text);
        }
        self.metrics.manifest_errors(loaded.errors.len());
    }

    fn apply(&mut self, loaded: manifests::Manifests) -> Arc<Engine> {
        self.index.sync(loaded.objects);
        let snapshot = self.index.publish();
        self.compiler.update(&snapshot)
    }

    /// Publishes each new state until nobody listens. A change that brings errors is reported and not applied: the
    /// last good state stays in force.
    pub(super) async fn follow(mut self, states: watch::Sender<Arc<Engine>>) -> Result<()> {
        let (told, mut changes) = mpsc::channel(1);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                // Full: a change is known to have happened already.
                let _ = told.try_send(());
            }
        })
        .context("cannot watch files (inotify)")?;
        for path in &self.paths {
            watcher
                .watch(path, RecursiveMode::Recursive)
                .with_context(|| format!("cannot watch {}", path.display()))?;
        }
        loop {
            tokio::select! {
                () = states.closed() => return Ok(()),
                Some(()) = changes.recv() => {}
            }
            tokio::time::sleep(SETTLE).await;
            while changes.try_recv().is_ok() {}
            let loaded = match manifests::load(&self.paths) {
                Ok(loaded) => loaded,
                Err(error) => {
                    warn!("{error}: the last good state stays in force");
                    continue;
                }
            };
            self.report(&loaded);
            if loaded.errors.is_empty() {
                self.known();
                self.index.set_time(monotonic_ns()?);
                let state = self.apply(loaded);
                info!("manifests read anew: generation {}", state.snapshot().generation());
                states.send_replace(state);
            } else {
                warn!("manifests have errors: nothing changes until they are repaired");
            }
        }
    }
}
