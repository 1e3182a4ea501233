//! Persistent clusters: a cluster that outlives the process that started it. Each user can have one.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{libc::O_NONBLOCK, sys::stat::Mode, unistd::mkfifo};

use super::{
    Cluster, Options, Plugin, Proxy, addresses::Addresses, daemons::Plan, lan::Lan, node, programs::Programs,
    supervisor::Supervisor,
};
use crate::cache;

/// The timeout for the kernel and the supervisor to remove a cluster.
const STOP: Duration = Duration::from_secs(60);

impl Cluster {
    /// Like [`Self::up`], for a cluster that exists until [`Self::down`].
    ///
    /// # Errors
    /// The same as for [`Self::up`], or there is such a cluster already.
    pub fn up_to_stay(options: Options) -> Result<Self> {
        let folder = folder()?;
        let _one_at_a_time = lock(&folder)?;
        ensure!(control(&folder).is_none(), "a cluster is up already: `cargo xtask cluster down` ends it");
        if folder.exists() {
            // Its supervisor was killed, or the machine was restarted.
            fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
        }
        let mut cluster = Self::up_in(&folder, options)?;
        fs::write(folder.join(NAME), &cluster.plan.name).context("writing down the cluster's name")?;
        mkfifo(&folder.join("control"), Mode::S_IRWXU).context("making the supervisor's FIFO")?;
        cluster.supervisor.take().map_or(Ok(()), Supervisor::keep)?;
        Ok(cluster)
    }

    /// Returns the cluster that [`Self::up_to_stay`] has started.
    ///
    /// # Errors
    /// There is no such cluster.
    pub fn that_stayed() -> Result<Self> {
        let folder = folder()?;
        let lan = control(&folder).and_then(|_| Lan::of(&folder));
        let lan = lan.context("no cluster is up: `cargo xtask cluster up` starts one")?;
        let name = fs::read_to_string(folder.join(NAME)).context("the name of the cluster")?;
        let index = name.strip_prefix("np-").and_then(|index| index.parse().ok());
        let index = index.with_context(|| format!("{name:?} is no name of a cluster"))?;
        // The plugin and kube-proxy run already: it does not matter here which they are.
        let programs = Programs::of(Plugin::default())?;
        let (addresses, proxy) = (Addresses(index), Proxy::None);
        let plan = Plan { name, folder, programs, addresses, proxy };
        let numbers = (1..).take_while(|number| node::folder(&plan.folder, *number).exists());
        let nodes = numbers.map(|number| plan.node(number)).collect::<Result<_>>()?;
        Ok(Self { plan, nodes, lan, supervisor: None })
    }

    /// Removes the cluster, and waits until it is removed completely.
    ///
    /// # Errors
    /// The supervisor can't be notified, or does not remove the cluster in time.
    pub fn down(mut self) -> Result<()> {
        if let Some(supervisor) = self.supervisor.take() {
            drop(supervisor);
            return Ok(());
        }
        let mut control = control(&self.plan.folder).context("the cluster has ended already")?;
        control.write_all(b"down\n").context("telling the supervisor to end the cluster")?;
        let start = Instant::now();
        while self.plan.folder.exists() {
            if start.elapsed() > STOP {
                bail!("{} is still there after {STOP:?}", self.plan.folder.display());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

/// The file with the cluster's name on the machine.
const NAME: &str = "name";

/// The folder of the cluster's state.
fn folder() -> Result<PathBuf> {
    Ok(cache::folder()?.join("cluster"))
}

/// A lock that is held while a cluster is started. Without it, a cluster that another process is starting could be mistaken
/// for the remains of a dead one.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.with_extension("lock");
    fs::create_dir_all(path.parent().unwrap_or(folder)).context("making the user's cache")?;
    let lock = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
    lock.lock().with_context(|| format!("waiting for another start of a cluster ({})", path.display()))?;
    Ok(lock)
}

/// Opens the FIFO to the supervisor of the cluster in `folder`. `None` if no supervisor reads it.
fn control(folder: &Path) -> Option<File> {
    File::options().write(true).custom_flags(O_NONBLOCK).open(folder.join("control")).ok()
}
