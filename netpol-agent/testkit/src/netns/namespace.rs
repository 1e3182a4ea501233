//! Network namespaces without a name, and how to run code and programs in them.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::fd::AsRawFd as _,
    panic,
    path::{Path, PathBuf},
    process::{self, Command},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    errno::Errno,
    ifaddrs::getifaddrs,
    net::if_::InterfaceFlags,
    sched::{CloneFlags, setns, unshare},
};

use crate::command;

/// The kernel settings of each namespace of a lab. They do not depend on the machine's defaults.
const SETTINGS: [(&str, &str); 10] = [
    // Addresses of both families can be used as soon as they are set.
    ("net/ipv6/conf/all/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_dad", "0"),
    ("net/ipv6/conf/default/dad_transmits", "0"),
    // The kernel sends no packets by itself.
    ("net/ipv6/conf/default/router_solicitations", "0"),
    // Packets with a spoofed source address reach the packet filter, which must drop them.
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
    // Each rejected attempt gets an ICMP message: no rate limit.
    ("net/ipv4/icmp_ratelimit", "0"),
    ("net/ipv6/icmp/ratelimit", "0"),
    // Any user may ping, as in container runtimes.
    ("net/ipv4/ping_group_range", "0 2147483647"),
    // A server can be started directly after another one on the same port has ended.
    ("net/ipv4/tcp_tw_reuse", "1"),
];

/// A network namespace. It exists as long as this value, or as a thread, process or socket that was created in it.
#[derive(Debug)]
pub struct Namespace {
    file: File,
}

impl Namespace {
    /// Creates a namespace with only a loopback interface, which is up.
    ///
    /// # Errors
    /// The process lacks `CAP_SYS_ADMIN`, or the kernel's limit of namespaces is reached.
    pub fn new() -> Result<Self> {
        in_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| match errno {
                Errno::EPERM => anyhow::anyhow!("a network namespace needs CAP_SYS_ADMIN: run this as root"),
                errno => anyhow::Error::new(errno).context("making a network namespace"),
            })?;
            for (name, value) in SETTINGS {
                set(name, value)?;
            }
            command::run("ip", &["link", "set", "lo", "up"], "")?;
            let path = "/proc/thread-self/ns/net";
            Ok(Self { file: File::open(path).with_context(|| format!("opening {path}"))? })
        })
    }

    /// Opens an existing namespace by a path such as `/proc/1/ns/net` or `/run/netns/NAME`.
    ///
    /// # Errors
    /// The path can't be opened.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self { file: File::open(path).with_context(|| format!("opening {}", path.display()))? })
    }

    /// Runs `work` on a new thread inside the namespace, and waits for it.
    ///
    /// Sockets and threads that `work` creates stay in the namespace. A panic is passed on to the caller.
    ///
    /// # Errors
    /// The namespace can't be entered (`CAP_SYS_ADMIN`).
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        in_thread(|| {
            setns(&self.file, CloneFlags::CLONE_NEWNET).context("entering a network namespace")?;
            Ok(work())
        })
    }

    /// Creates a command for a program inside the namespace. `spawn` returns the program's own process id.
    ///
    /// The program is killed when the thread that starts it ends, so that it can't outlive a lab whose process was
    /// killed. So the thread must not end before the program.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = command::command("setpriv");
        command.args(["--pdeathsig", "KILL", "nsenter"]);
        command.arg(format!("--net={}", self.path().display())).arg("--").arg(program);
        command
    }

    /// Runs a program inside the namespace, with `input` on its stdin. Returns its stdout.
    ///
    /// # Errors
    /// The program can't be started, or ends with a failure. The error has its stderr.
    pub fn exec(&self, program: &str, args: &[&str], input: &str) -> Result<String> {
        self.run(|| command::run(program, args, input))?
    }

    /// Runs the lines with `ip -batch` inside the namespace.
    ///
    /// # Errors
    /// A line fails. The error has the first such line and the output of `ip`.
    pub fn ip(&self, lines: &str) -> Result<String> {
        self.exec("ip", &["-batch", "-"], lines)
    }

    /// Loads a ruleset with `nft -f` inside the namespace. Returns the output of `nft`.
    ///
    /// # Errors
    /// `nft` fails. The error has its output.
    pub fn nft(&self, ruleset: &str) -> Result<String> {
        self.exec("nft", &["-f", "-"], ruleset)
    }

    /// Writes a kernel setting, such as `net/ipv4/ip_forward`, inside the namespace.
    ///
    /// # Errors
    /// The setting does not exist, or the value is not valid.
    pub fn sysctl(&self, name: &str, value: &str) -> Result<()> {
        self.run(|| set(name, value))?
    }

    /// Waits until an interface sends packets. For a short time after both ends of a veth pair are up, the kernel
    /// drops them.
    pub(super) fn wait_until_running(&self, ifname: &str) -> Result<()> {
        self.run(|| {
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(5) {
                let mut interfaces = getifaddrs()?.filter(|interface| interface.interface_name == ifname);
                if interfaces.any(|interface| interface.flags.contains(InterfaceFlags::IFF_RUNNING)) {
                    return Ok(());
                }
                thread::sleep(Duration::from_millis(1));
            }
            bail!("{ifname} is not running after 5 s");
        })?
    }

    /// A path by which other programs can open the namespace, as long as this process runs.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", process::id(), self.file.as_raw_fd()))
    }
}

impl AsRef<Namespace> for Namespace {
    fn as_ref(&self) -> &Namespace {
        self
    }
}

fn set(name: &str, value: &str) -> Result<()> {
    let path = format!("/proc/sys/{name}");
    fs::write(&path, value).with_context(|| format!("writing {value:?} to {path}"))
}

/// Runs `work` on a new thread, and waits for it. A thread can enter another namespace, but can't easily return. So
/// each call uses a new thread.
fn in_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| match scope.spawn(work).join() {
        Ok(result) => result,
        Err(panic) => panic::resume_unwind(panic),
    })
}
