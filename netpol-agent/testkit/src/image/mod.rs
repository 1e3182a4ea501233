//! Builds the agent's container image with buildah.

mod archive;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

pub use archive::Image;

/// The image's name: the chart's `image.repository`, with its `appVersion` as the tag.
pub const NAME: &str = concat!("netpol/netpol-agent:", env!("CARGO_PKG_VERSION"));

/// The file capabilities of the binary. Without them, a user other than root loses the capabilities that the container
/// runtime grants (capabilities(7)). They are not effective at once, so that the kernel starts the program even if the
/// runtime does not grant all of them; the agent makes effective what it gets.
pub const CAPABILITIES: &str = "cap_bpf,cap_perfmon,cap_net_admin,cap_sys_admin=p";

/// The path of the image that tests inspect.
#[must_use]
pub fn of_tests() -> PathBuf {
    folder().join("test.tar")
}

/// The folder of images and of the binaries in them.
#[must_use]
pub fn folder() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| crate::root().join("target"), PathBuf::from).join("image")
}

/// Packs a static agent into an image, as an archive for `docker load`, `podman load` and `ctr images import`. buildah
/// uses a temporary folder for its storage, which is removed afterwards.
///
/// # Errors
/// The process is not root, buildah is missing, or buildah fails. The error has its output.
pub fn pack(agent: &Path, archive: &Path) -> Result<()> {
    let work = TempDir::with_prefix("netpol-image-").context("making a folder for buildah")?;
    let context = work.path().join("context");
    fs::create_dir(&context).context("making the image's context")?;
    let program = context.join("netpol-agent");
    fs::copy(agent, &program).with_context(|| format!("copying {}", agent.display()))?;
    run(Command::new("setcap").arg(CAPABILITIES).arg(&program))?;
    let (revision, date) = commit();
    // The image's date is the date of the sources, so that the same sources give the same image.
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
        // buildah would add to an existing archive.
        fs::remove_file(archive).with_context(|| format!("removing {}", archive.display()))?;
    }
    buildah(work.path(), &["push", "--quiet", NAME, &format!("docker-archive:{}:{NAME}", archive.display())])
}

/// The commit of the sources, and its time in seconds since 1970. Outside of git there is no commit, and the time is
/// 0.
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
        // The driver that copies each layer needs no feature of the kernel or of the file system.
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
