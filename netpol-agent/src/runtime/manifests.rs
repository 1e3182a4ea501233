//! Cluster state from files, read anew when one changes.

use std::{
    path::{Path, PathBuf, absolute},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use crate::{
    cluster::{Index, SyncStatus, manifests},
    kernel::monotonic_now,
    policy::{ClusterView, Compiler},
    sink::metrics::Metrics,
};

/// Editors and volume mounts change files in several steps: wait for the last one.
const SETTLE: Duration = Duration::from_millis(100);

/// Tells of changes to the files, from the moment that it is made.
struct Changes {
    changed: mpsc::Receiver<()>,
    _watcher: RecommendedWatcher,
}

impl Changes {
    /// Of a file its folder is watched: who saves it may put another one in its place.
    fn new(paths: &[PathBuf]) -> Result<Self> {
        let mut watched = Vec::new();
        for path in paths {
            let path = absolute(path).with_context(|| format!("cannot watch {}", path.display()))?;
            let folder = path.parent().filter(|_| !path.is_dir()).map(Path::to_owned);
            watched.push((path, folder));
        }
        let files = watched.clone();
        let (sender, changed) = mpsc::channel(1);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access() && matters(&event, &files)) {
                // Full: a change is known to have happened already.
                let _ = sender.try_send(());
            }
        })
        .context("cannot watch files (inotify)")?;
        for (path, folder) in &watched {
            let mode = if folder.is_some() { RecursiveMode::NonRecursive } else { RecursiveMode::Recursive };
            let path = folder.as_ref().unwrap_or(path);
            watcher.watch(path, mode).with_context(|| format!("cannot watch {}", path.display()))?;
        }
        Ok(Self { changed, _watcher: watcher })
    }
}

/// Beside a file that is watched others may change all the time; but a mounted volume changes all of its files by a link
/// whose name begins with two dots.
fn matters(event: &notify::Event, watched: &[(PathBuf, Option<PathBuf>)]) -> bool {
    let is_link =
        |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".."));
    event.paths.iter().any(|path| is_link(path) || watched.iter().any(|(own, _)| path.starts_with(own)))
}

/// Reads manifests into the index that it owns.
pub(super) struct ManifestSource {
    paths: Vec<PathBuf>,
    changes: Changes,
    index: Index,
    compiler: Compiler,
    /// All kinds are known, once all that is written could be read.
    sync: SyncStatus,
    metrics: Metrics,
}

impl ManifestSource {
    /// Reads them for the first time: what can't be read is reported, and until it can, nothing is judged.
    pub(super) fn open(paths: Vec<PathBuf>, metrics: Metrics) -> Result<(Self, ClusterView)> {
        // Before the first look: what changes just after it must not be missed.
        let changes = Changes::new(&paths)?;
        let (index, compiler) = (Index::default(), Compiler::new());
        let mut this = Self { paths, changes, index, compiler, sync: SyncStatus::default(), metrics };
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
            this.sync = SyncStatus::current();
        } else {
            warn!("no connection is judged until that is repaired: what is missing may decide any of them");
        }
        let view = this.apply(loaded);
        Ok((this, view))
    }

    fn report(&self, loaded: &manifests::Manifests) {
        for error in &loaded.errors {
            warn!("{error}");
        }
        for duplicate in &loaded.duplicates {
            warn!("{duplicate}");
        }
        for note in &loaded.notes {
            info!("{}:{}: {}", note.file, note.line, note.text);
        }
        self.metrics.manifest_errors(loaded.errors.len());
    }

    fn apply(&mut self, loaded: manifests::Manifests) -> ClusterView {
        self.index.sync(loaded.objects);
        let snapshot = self.index.publish();
        ClusterView { engine: self.compiler.update(&snapshot), sync: self.sync }
    }

    /// Publishes each new state until nobody receives it. A change that brings errors is reported and not applied: the
    /// last good state stays in force.
    pub(super) async fn follow(mut self, views: watch::Sender<ClusterView>) -> Result<()> {
        loop {
            tokio::select! {
                () = views.closed() => return Ok(()),
                Some(()) = self.changes.changed.recv() => {}
            }
            tokio::time::sleep(SETTLE).await;
            while self.changes.changed.try_recv().is_ok() {}
            let loaded = match manifests::load(&self.paths) {
                Ok(loaded) => loaded,
                Err(error) => {
                    warn!("{error}: the last good state stays in force");
                    continue;
                }
            };
            self.report(&loaded);
            if loaded.errors.is_empty() {
                self.sync = SyncStatus::current();
                self.index.set_time(monotonic_now());
                let view = self.apply(loaded);
                info!("manifests read anew: generation {}", view.engine.snapshot().generation());
                views.send_replace(view);
            } else {
                warn!("manifests have errors: nothing changes until they are repaired");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;
    use tokio::time::timeout;

    use super::*;

    fn pods(count: usize) -> String {
        (0..count)
            .map(|number| {
                format!("---\n{{apiVersion: v1, kind: Pod, metadata: {{name: p{number}, namespace: n}}}}\n")
            })
            .collect()
    }

    /// Whether the paths are a folder or the file in it, and however it is saved: from the first look on nothing is missed.
    #[tokio::test]
    async fn changes_are_seen() {
        for single in [false, true] {
            let folder = TempDir::with_prefix("netpol-test-").unwrap();
            let file = folder.path().join("pods.yaml");
            fs::write(&file, pods(1)).unwrap();
            let path = if single { file.clone() } else { folder.path().to_owned() };
            let (manifests, first) = ManifestSource::open(vec![path], Metrics::default()).unwrap();
            // Before anybody follows.
            fs::write(&file, pods(2)).unwrap();
            let (sender, mut views) = watch::channel(first);
            let follow = tokio::spawn(manifests.follow(sender));
            for count in 2..5 {
                let changed = async {
                    while views.borrow_and_update().engine.snapshot().pods().count() < count {
                        views.changed().await.unwrap();
                    }
                };
                let seen = timeout(Duration::from_secs(30), changed).await;
                assert!(seen.is_ok(), "single file: {single}, {count} pods");
                // As editors save.
                fs::write(folder.path().join(".new"), pods(count + 1)).unwrap();
                fs::rename(folder.path().join(".new"), &file).unwrap();
            }
            follow.abort();
        }
    }
}
