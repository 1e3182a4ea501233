//! Container images made from files at hand: no registry, no daemon.

use std::{
    env::consts::ARCH,
    fs::{self, File},
    path::Path,
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use crate::command;

/// The image that every node has: Debian's static busybox, with a link for each of its applets in `/bin`. By itself it
/// sleeps, so that it does for the container that holds a pod's namespaces, too.
pub const BUSYBOX: &str = "netpol.test/busybox:1";

/// An image of one layer, with nothing below it.
pub struct Image {
    name: String,
    layer: Builder<Vec<u8>>,
    command: Vec<String>,
}

impl Image {
    /// An image without files; `name` has a tag. `command` is what a container runs that is told nothing else.
    #[must_use]
    pub fn new(name: &str, command: &[&str]) -> Self {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        Self { name: name.to_owned(), layer: Builder::new(Vec::new()), command }
    }

    /// Adds a program; `path` is where it is in the image, without a slash at its beginning.
    ///
    /// # Errors
    /// It can't be read.
    pub fn program(mut self, path: &str, file: &Path) -> Result<Self> {
        let context = || format!("reading {}", file.display());
        let bytes = fs::read(file).with_context(context)?;
        let mut header = header(EntryType::Regular, 0o755, bytes.len());
        self.layer.append_data(&mut header, path, bytes.as_slice()).with_context(context)?;
        Ok(self)
    }

    /// Adds an empty folder.
    ///
    /// # Errors
    /// `path` is no path.
    pub fn folder(mut self, path: &str, mode: u32) -> Result<Self> {
        let mut header = header(EntryType::Directory, mode, 0);
        self.layer.append_data(&mut header, path, [].as_slice()).with_context(|| format!("folder {path}"))?;
        Ok(self)
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    /// `path` or `target` is no path.
    pub fn link(mut self, path: &str, target: &str) -> Result<Self> {
        let mut header = header(EntryType::Symlink, 0o777, 0);
        self.layer.append_link(&mut header, path, target).with_context(|| format!("link {path}"))?;
        Ok(self)
    }

    /// Writes the image as `docker save` does.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write(self, to: &Path) -> Result<()> {
        let context = || format!("writing {}", to.display());
        let layer = self.layer.into_inner().with_context(context)?;
        let configuration = json!({
            "architecture": if ARCH == "aarch64" { "arm64" } else { "amd64" },
            "os": "linux",
            "config": { "Cmd": self.command, "Env": ["PATH=/bin"], "WorkingDir": "/" },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", digest(&layer))] },
        });
        let configuration = configuration.to_string().into_bytes();
        let configured = format!("{}.json", digest(&configuration));
        let manifest: Value =
            json!([{ "Config": configured, "RepoTags": [self.name], "Layers": ["layer.tar"] }]);
        let mut archive = Builder::new(File::create(to).with_context(context)?);
        for (name, bytes) in [
            (configured.as_str(), &configuration),
            ("layer.tar", &layer),
            ("manifest.json", &manifest.to_string().into_bytes()),
        ] {
            let mut header = header(EntryType::Regular, 0o644, bytes.len());
            archive.append_data(&mut header, name, bytes.as_slice()).with_context(context)?;
        }
        archive.into_inner().with_context(context).map(drop)
    }
}

/// Writes [`BUSYBOX`].
pub(super) fn busybox(to: &Path) -> Result<()> {
    let program = Path::new("/bin/busybox");
    let applets = command::run("/bin/busybox", &["--list"], "")?;
    let mut image = Image::new(BUSYBOX, &["/bin/busybox", "sleep", "2147483647"])
        .folder("tmp", 0o1777)?
        .program("bin/busybox", program)?;
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        image = image.link(&format!("bin/{applet}"), "busybox")?;
    }
    image.write(to)
}

fn header(kind: EntryType, mode: u32, size: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size as u64);
    header
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
