//! The agent's container image.

mod archive;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

pub use archive::Image;

/// What the image is called: the chart's `image.repository`, and its `appVersion` as the tag.
pub const NAME: &str = concat!("netpol/netpol-agent:", env!("CARGO_PKG_VERSION"));

/// The capabilities that the binary's file carries: without them, Linux takes from another user than root what the
/// container runtime gave it (capabilities(7)).
pub const CAPABILITIES: &str = "cap_bpf,cap_perfmon,cap_net_admin=ep";

/// Where the image is that tests look at.
#[must_use]
pub fn of_tests() -> PathBuf {
    folder().join("test.tar")
}

/// Where images and the binaries in them are kept.
#[must_use]
pub fn folder() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| crate::root().join("target"), PathBuf::from).join("image")
}

/// Packs a static agent into an image, as an archive that `docker load`, `podman load` and `ctr images import` take.
/// buildah keeps its storage in a folder of its own, which is gone afterwards.
///
/// # Errors
/// This is not root; or buildah is missing, or fails: its own words are in the error.
pub fn pack(agent: &Path, archive: &Path) -> Result<()> {
    let work = TempDir::with_prefix("netpol-image-").context("making a folder for buildah")?;
    let context = work.path().join("context");
    fs::create_dir(&context).context("making the image's context")?;
    let program = context.join("netpol-agent");
    fs::copy(agent, &program).with_context(|| format!("copying {}", agent.display()))?;
    run(Command::new("setcap").arg(CAPABILITIES).arg(&program))?;
    let (revision, date) = commit();
    // An image of the same sources is the same image: its date is that of the sources.
    buildah(
        work.path(),
        &["build", "--isolation", "chroot", "--target", "local", "--timestamp", &date, "--tag", NAME]
            .into_iter()
            .chain(["--build-arg", &format!("VERSION={}", env!("CARGO_PKG_VERSION"))])
            .chain(["--build-arg", &format!("REVISION={revision}")])
            .chain(["--file", &crate::root().join("deploy/image/Containerfile").to_string_lossy()])
            .chain([&*context.to_string_lossy()])
            .collect::<Vec<_>>(),
    )?;
    if archive.exists() {
        // buildah adds to an archive that is there.
        fs::remove_file(archive).with_context(|| format!("removing {}", archive.display()))?;
    }
    buildah(work.path(), &["push", "--quiet", NAME, &format!("docker-archive:{}:{NAME}", archive.display())])
}

/// The commit that the sources are at, and its time in seconds since 1970. Outside of git there is none, and it is 1970.
fn commit() -> (String, String) {
    let git = Command::new("git").args(["log", "-1", "--format=%H %ct"]).current_dir(crate::root()).output();
    let text = git.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    match text.trim().split_once(' ') {
        Some((revision, date)) => (revision.to_owned(), date.to_owned()),
        None => ("unknown".to_owned(), "0".to_owned()),
    }
}

fn buildah(work: &Path, arguments: &[&str]) -> Result<()> {
    run(Command::new("buildah")
        // A plain copy of each layer needs nothing of the kernel or of the file system.
        .args(["--storage-driver", "vfs", "--root"])
        .arg(work.join("storage"))
        .arg("--runroot")
        .arg(work.join("run"))
        .args(arguments)
        .env("TMPDIR", work))
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output
        .with_context(|| format!("starting `{program}` (`cargo xtask setup` installs it on Debian)"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} ended with {}:\n{said}", output.status);
    Ok(())
}
