//! The folders in which container runtimes keep the pods' network namespaces.
//!
//! inotify tells that a folder has changed. What it then contains is read anew.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::future::pending;
use inotify::{Inotify, WatchMask};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Instant, sleep_until, timeout_at},
};

use super::NetworkNamespace;

/// How often the folders are read even if inotify tells of no change.
const INTERVAL: Duration = Duration::from_secs(5);

/// How often a file that is no namespace yet is looked at again, and for how long. The runtime mounts the namespace on
/// the file right after it has created the file, and inotify does not tell of that.
const AGAIN: Duration = Duration::from_millis(2);
const AGAIN_FOR: Duration = Duration::from_secs(2);

/// The room for events, in bytes: some dozens.
const EVENTS: usize = 4096;

/// Folders with network namespaces.
pub(in crate::kernel) struct Folders {
    folders: Vec<PathBuf>,
    inotify: Option<AsyncFd<Inotify>>,
    /// The inode of the agent's own namespace, which is no pod's.
    own: Option<u32>,
    /// When to read the folders next, at the latest.
    next: Instant,
    /// Until when files that are no namespaces are looked at again and again.
    again_until: Instant,
    /// Whether the last reading found such files.
    has_unfinished: bool,
}

impl Folders {
    /// Watches folders. A folder that does not exist may be created later. Needs a tokio runtime.
    pub(in crate::kernel) fn new(folders: Vec<PathBuf>, own: Option<u32>) -> Self {
        let now = Instant::now();
        let mut watched = Self {
            folders,
            inotify: None,
            own,
            next: now,
            again_until: now + AGAIN_FOR,
            has_unfinished: false,
        };
        watched.watch();
        watched
    }

    /// (Re)creates the watches: a folder may have been removed and created again. Without inotify, changes are noticed
    /// at the next reading.
    fn watch(&mut self) {
        let Ok(inotify) = Inotify::init() else { return };
        let events =
            WatchMask::CREATE | WatchMask::DELETE | WatchMask::MOVE | WatchMask::ATTRIB | WatchMask::ONLYDIR;
        for folder in &self.folders {
            // It fails for a folder that does not exist.
            let _ = inotify.watches().add(folder, events);
        }
        // SAFETY: the descriptor belongs to `inotify` and is closed with it, not before.
        self.inotify = unsafe { AsyncFd::register_with_interest(inotify, Interest::READABLE) }.ok();
    }

    /// Waits until the folders may have changed.
    pub(in crate::kernel) async fn changed(&mut self) {
        let again = Instant::now() + AGAIN;
        let until = if self.has_unfinished && again < self.again_until { again } else { self.next };
        let Some(inotify) = &mut self.inotify else { return sleep_until(until).await };
        match timeout_at(until, inotify.readable_mut()).await {
            Ok(Ok(mut ready)) => {
                let mut buffer = [0; EVENTS];
                while ready.get_inner_mut().read_events(&mut buffer).is_ok_and(|events| events.count() > 0) {}
                ready.clear_ready();
                self.again_until = Instant::now() + AGAIN_FOR;
            }
            Ok(Err(_)) => pending().await,
            // It is time to read the folders anyway.
            Err(_) => {
                if Instant::now() >= self.next {
                    self.watch();
                }
            }
        }
    }

    /// Opens all namespaces that are in the folders now and not in `known`, by inode. Also returns the inodes of all that
    /// are there.
    pub(in crate::kernel) fn read(
        &mut self,
        known: impl Fn(u32) -> bool,
    ) -> (Vec<NetworkNamespace>, HashSet<u32>) {
        self.next = Instant::now() + INTERVAL;
        self.has_unfinished = false;
        let (mut new, mut present) = (Vec::new(), HashSet::new());
        for folder in &self.folders {
            for path in entries(folder).unwrap_or_default() {
                match NetworkNamespace::open(&path) {
                    Ok(Some(namespace)) => {
                        let inode = namespace.inode();
                        if Some(inode) != self.own && present.insert(inode) && !known(inode) {
                            new.push(namespace);
                        }
                    }
                    Ok(None) => self.has_unfinished = true,
                    // It was removed meanwhile.
                    Err(_) => {}
                }
            }
        }
        (new, present)
    }
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
}
