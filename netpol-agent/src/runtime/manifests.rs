//! Reads the cluster's state from manifest files, and reads them again when a file changes.
//!
//! If a changed file has errors, they are reported and the last good state stays in force.

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

/// How long to wait after a change before the files are read. Editors and volume mounts change files in several steps.
const SETTLE: Duration = Duration::from_millis(100);

/// Reports changes to the files, from its creation on.
struct Changes {
    changed: mpsc::Receiver<()>,
    _watcher: RecommendedWatcher,
}

impl Changes {
    /// Watches the paths. For a file, its folder is watched, because saving a file may replace it.
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
            if event.is_ok_and(|event| !event.kind.is_access() && is_relevant(&event, &files)) {
                // This fails if the channel is full. Then a change has been reported already.
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

/// Returns true if an event concerns a watched path. Other files in the same folder may change at any time. A mounted
/// volume changes all of its files through a symbolic link whose name begins with two dots.
fn is_relevant(event: &notify::Event, watched: &[(PathBuf, Option<PathBuf>)]) -> bool {
    let is_link =
        |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".."));
    event
        .paths
        .iter()
        .any(|path| is_link(path) || watched.iter().any(|(watched, _)| path.starts_with(watched)))
}

/// Reads manifests into an index that it owns.
pub(super) struct ManifestSource {
    paths: Vec<PathBuf>,
    changes: Changes,
    index: Index,
    compiler: Compiler,
    /// The sync status. All kinds are current once all manifests could be read without errors.
    sync: SyncStatus,
    metrics: Metrics,
}

impl ManifestSource {
    /// Reads the manifests for the first time. Errors are reported. Until they are repaired, every verdict is
    /// undecidable.
    pub(super) fn open(paths: Vec<PathBuf>, metrics: Metrics) -> Result<(Self, ClusterView)> {
        // The watch begins before the files are read, so that no change is missed.
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
        for word in &loaded.booleans {
            warn!("{word}");
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

    /// Publishes each new state until the receiver is dropped. If the changed files have errors, they are reported and
    /// the last good state stays in force.
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
                info!("manifests reloaded: generation {}", view.engine.snapshot().generation());
                views.send_replace(view);
            } else {
                warn!("manifests have errors: the last state stays in force until they are repaired");
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

    /// No change is missed after the first read, for a folder and for a single file, however the file is saved.
    #[tokio::test]
    async fn changes_are_seen() {
        for single in [false, true] {
            let folder = TempDir::with_prefix("netpol-test-").unwrap();
            let file = folder.path().join("pods.yaml");
            fs::write(&file, pods(1)).unwrap();
            let path = if single { file.clone() } else { folder.path().to_owned() };
            let (manifests, first) = ManifestSource::open(vec![path], Metrics::default()).unwrap();
            // This change happens before `follow` runs.
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
                // Editors save a file like this.
                fs::write(folder.path().join(".new"), pods(count + 1)).unwrap();
                fs::rename(folder.path().join(".new"), &file).unwrap();
            }
            follow.abort();
        }
    }
}
