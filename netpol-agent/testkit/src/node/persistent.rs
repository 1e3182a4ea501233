//! Persistent nodes: a node that outlives the process that started it. Each user can have one.

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

use super::{Cni, Node, spaces::Spaces};
use crate::{cache, command, kubernetes};

/// The timeout for the kernel and the supervisor to remove a node.
const STOP: Duration = Duration::from_secs(60);

impl Node {
    /// Like [`Self::up`], for a node that exists until [`Self::down`].
    ///
    /// # Errors
    /// The same as for [`Self::up`], or there is such a node already.
    pub fn up_to_stay(cni: Cni) -> Result<Self> {
        let folder = folder()?;
        let _one_at_a_time = lock(&folder)?;
        ensure!(control(&folder).is_none(), "a node is up already: `cargo xtask node down` ends it");
        if folder.exists() {
            // Its supervisor was killed, or the machine was restarted.
            fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
        }
        let mut node = Self::up_in(&folder, cni)?;
        mkfifo(&folder.join("control"), Mode::S_IRWXU).context("making the supervisor's FIFO")?;
        node.supervisor.take().map_or(Ok(()), super::Supervisor::keep)?;
        Ok(node)
    }

    /// Returns the node that [`Self::up_to_stay`] has started.
    ///
    /// # Errors
    /// There is no such node.
    pub fn that_stayed() -> Result<Self> {
        let folder = folder()?;
        let spaces = control(&folder).and_then(|_| Spaces::of(&folder));
        let spaces = spaces.context("no node is up: `cargo xtask node up` starts one")?;
        let name = command::output(&mut spaces.command("hostname"), "")?.trim().to_owned();
        Ok(Self { name, programs: kubernetes::built()?, spaces, folder, supervisor: None })
    }

    /// Removes the node, and waits until it is removed completely.
    ///
    /// # Errors
    /// The supervisor can't be notified, or does not remove the node in time.
    pub fn down(mut self) -> Result<()> {
        if let Some(supervisor) = self.supervisor.take() {
            drop(supervisor);
            return Ok(());
        }
        let mut control = control(&self.folder).context("the node has ended already")?;
        control.write_all(b"down\n").context("telling the supervisor to end the node")?;
        let start = Instant::now();
        while self.folder.exists() {
            if start.elapsed() > STOP {
                bail!("{} is still there after {STOP:?}", self.folder.display());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

/// The folder of the node's state.
fn folder() -> Result<PathBuf> {
    Ok(cache::folder()?.join("node"))
}

/// A lock that is held while a node is started. Without it, a node that another process is starting could be mistaken
/// for the remains of a dead one.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.with_extension("lock");
    fs::create_dir_all(path.parent().unwrap_or(folder)).context("making the user's cache")?;
    let lock = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
    lock.lock().with_context(|| format!("waiting for another start of a node ({})", path.display()))?;
    Ok(lock)
}

/// Opens the FIFO to the supervisor of the node in `folder`. `None` if no supervisor reads it.
fn control(folder: &Path) -> Option<File> {
    File::options().write(true).custom_flags(O_NONBLOCK).open(folder.join("control")).ok()
}
