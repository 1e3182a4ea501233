//! The image that every node has. It is created from the machine's busybox, without a registry or an image builder.

use std::{env::consts::ARCH, fs::File, path::Path};

use anyhow::{Context as _, Result};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use crate::command;

/// The image's name. The image has Debian's static busybox, with a link for each of its applets in `/bin`. Its default
/// command sleeps, so that it can also be used for the container that holds a pod's namespaces (the sandbox).
pub const BUSYBOX: &str = "netpol.test/busybox:1";

/// The path of busybox, on the machine and in the image.
const PROGRAM: &str = "/bin/busybox";

/// Writes the image in the format of `docker save`.
pub(super) fn write(to: &Path) -> Result<()> {
    let layer = layer()?;
    let configuration = json!({
        "architecture": if ARCH == "aarch64" { "arm64" } else { "amd64" },
        "os": "linux",
        "config": { "Cmd": [PROGRAM, "sleep", "2147483647"], "Env": ["PATH=/bin"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", digest(&layer))] },
    });
    let configuration = configuration.to_string();
    let configured = format!("{}.json", digest(configuration.as_bytes()));
    let manifest = json!([{ "Config": configured, "RepoTags": [BUSYBOX], "Layers": ["layer.tar"] }]);
    let context = || format!("writing {}", to.display());
    let mut archive = Builder::new(File::create(to).with_context(context)?);
    for (name, bytes) in [
        (configured.as_str(), configuration.as_bytes()),
        ("layer.tar", &layer),
        ("manifest.json", manifest.to_string().as_bytes()),
    ] {
        let mut header = header(EntryType::Regular, 0o644);
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, name, bytes).with_context(context)?;
    }
    archive.into_inner().with_context(context).map(drop)
}

/// The image's files.
fn layer() -> Result<Vec<u8>> {
    let context = || format!("packing {PROGRAM} (`cargo xtask setup` installs it on Debian)");
    let applets = command::run(PROGRAM, &["--list"], "")?;
    let mut layer = Builder::new(Vec::new());
    layer.append_path_with_name(PROGRAM, &PROGRAM[1..]).with_context(context)?;
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        let mut header = header(EntryType::Symlink, 0o777);
        layer.append_link(&mut header, format!("bin/{applet}"), "busybox").with_context(context)?;
    }
    let mut folder = header(EntryType::Directory, 0o1777);
    layer.append_data(&mut folder, "tmp", [].as_slice()).with_context(context)?;
    layer.into_inner().with_context(context)
}

fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(0);
    header
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
