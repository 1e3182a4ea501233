//! A network namespace without a name.

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

/// What every namespace of a lab is set to, whatever the machine's defaults are.
const SETTINGS: [(&str, &str); 10] = [
    // Addresses of both families are usable as soon as they are set.
    ("net/ipv6/conf/all/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_dad", "0"),
    ("net/ipv6/conf/default/dad_transmits", "0"),
    // No packets that nobody asked for.
    ("net/ipv6/conf/default/router_solicitations", "0"),
    // Packets with a foreign source address are for the packet filter to drop.
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
    // Each rejected attempt gets its ICMP message.
    ("net/ipv4/icmp_ratelimit", "0"),
    ("net/ipv6/icmp/ratelimit", "0"),
    // As container runtimes have it: anyone may ping.
    ("net/ipv4/ping_group_range", "0 2147483647"),
    // A server may be started where another has just ended.
    ("net/ipv4/tcp_tw_reuse", "1"),
];

/// A network namespace that lives as long as this value, or as a thread, process or socket that was made in it.
#[derive(Debug)]
pub struct Namespace {
    file: File,
}

impl Namespace {
    /// Makes a namespace with nothing but a loopback interface, which is up.
    ///
    /// # Errors
    /// Without `CAP_SYS_ADMIN`, or where the kernel has no more namespaces to give.
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

    /// One that others made, by a path such as `/proc/1/ns/net` or `/run/netns/NAME`.
    ///
    /// # Errors
    /// The path can't be opened.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self { file: File::open(path).with_context(|| format!("opening {}", path.display()))? })
    }

    /// Runs `work` on a thread of its own inside the namespace, and waits for it.
    ///
    /// Sockets and threads that `work` makes belong to the namespace for good. A panic goes on in the caller.
    ///
    /// # Errors
    /// Where the namespace can't be entered (`CAP_SYS_ADMIN`).
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        in_thread(|| {
            setns(&self.file, CloneFlags::CLONE_NEWNET).context("entering a network namespace")?;
            Ok(work())
        })
    }

    /// A program to be started inside the namespace, by the same process id that `spawn` returns.
    ///
    /// It is killed when the thread that starts it ends, so that it can't outlive a lab whose process was killed:
    /// start it from a thread that stays.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = command::command("setpriv");
        command.args(["--pdeathsig", "KILL", "nsenter"]);
        command.arg(format!("--net={}", self.path().display())).arg("--").arg(program);
        command
    }

    /// Runs a program inside the namespace to its end, with `input` on its stdin; returns its stdout.
    ///
    /// # Errors
    /// Where it can't be started, or ends with a failure: its stderr is in the error.
    pub fn exec(&self, program: &str, args: &[&str], input: &str) -> Result<String> {
        self.run(|| command::run(program, args, input))?
    }

    /// Runs lines as `ip -batch` takes them, inside the namespace.
    ///
    /// # Errors
    /// The first line that fails, with what `ip` says.
    pub fn ip(&self, lines: &str) -> Result<String> {
        self.exec("ip", &["-batch", "-"], lines)
    }

    /// Loads a ruleset, as `nft -f` takes it, inside the namespace; returns what `nft` prints.
    ///
    /// # Errors
    /// What `nft` says.
    pub fn nft(&self, ruleset: &str) -> Result<String> {
        self.exec("nft", &["-f", "-"], ruleset)
    }

    /// Writes a kernel setting, such as `net/ipv4/ip_forward`, inside the namespace.
    ///
    /// # Errors
    /// The setting does not exist, or does not take the value.
    pub fn sysctl(&self, name: &str, value: &str) -> Result<()> {
        self.run(|| set(name, value))?
    }

    /// Waits until an interface sends what it is given: for a moment after both ends of a veth pair are up, the kernel
    /// drops it.
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

    /// Where other programs can open the namespace, while this process lives.
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

/// A thread's namespace can be changed alone, but not back without trouble: every visit gets its own thread.
fn in_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| match scope.spawn(work).join() {
        Ok(result) => result,
        Err(panic) => panic::resume_unwind(panic),
    })
}
