//! The agent's side of the helper process.

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use caps::{CapSet, Capability};
use nix::sys::{
    socket::{
        AddressFamily, SockFlag, SockType, setsockopt, socketpair,
        sockopt::{ReceiveTimeout, SendTimeout},
    },
    time::{TimeVal, TimeValLike as _},
};
use thiserror::Error;

use super::{
    NetworkNamespace,
    message::{self, HelperAnswer, HelperRequest},
};

/// How long the helper may take for an answer. It usually takes some microseconds.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why the helper process could not do something.
#[derive(Debug, Error)]
pub enum HelperError {
    /// The process lacks `CAP_SYS_ADMIN`, without which no namespace can be entered.
    #[error("missing CAP_SYS_ADMIN (enter the pods' network namespaces)")]
    Capability,
    /// The process could not be started.
    #[error("cannot start the helper process: {0}")]
    Start(io::Error),
    /// The process has ended, or does not answer.
    #[error("the helper process does not answer: {0}")]
    Silent(io::Error),
    /// The kernel refused what the helper was asked for.
    #[error("{0}")]
    Refused(io::Error),
}

/// The helper process, which enters namespaces. It ends when this is dropped, and with the agent however that ends.
#[derive(Debug)]
pub struct Helper {
    socket: Mutex<OwnedFd>,
    child: Child,
}

impl Helper {
    /// Starts the helper: this program with other arguments. Then gives up `CAP_SYS_ADMIN` for the calling thread, and
    /// for the threads that it will start. So call it before there are other threads.
    ///
    /// # Errors
    ///
    /// The capability is missing, or the process can't be started.
    pub fn spawn(arguments: &[&str]) -> Result<Self, HelperError> {
        let has = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
        if !has(Capability::CAP_SYS_ADMIN) {
            return Err(HelperError::Capability);
        }
        let start = |error: nix::Error| HelperError::Start(error.into());
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
                .map_err(start)?;
        let timeout = TimeVal::seconds(i64::try_from(TIMEOUT.as_secs()).unwrap_or(i64::MAX));
        setsockopt(&ours, ReceiveTimeout, &timeout).map_err(start)?;
        setsockopt(&ours, SendTimeout, &timeout).map_err(start)?;
        let mut command = Command::new("/proc/self/exe");
        command.args(arguments).env_clear().stdin(Stdio::from(theirs));
        let child = command.spawn().map_err(HelperError::Start)?;
        // In older kernels it contains the other two (Linux 5.8, capabilities(7)): then it can't be given up.
        if has(Capability::CAP_BPF) && has(Capability::CAP_PERFMON) {
            for set in [CapSet::Effective, CapSet::Permitted] {
                let _ = caps::drop(None, set, Capability::CAP_SYS_ADMIN);
            }
        }
        Ok(Self { socket: Mutex::new(ours), child })
    }

    /// Opens a netlink socket for routing messages in a namespace. The socket does not block.
    ///
    /// # Errors
    ///
    /// The kernel refuses, or the helper has ended.
    pub fn netlink_socket(&self, namespace: &NetworkNamespace) -> Result<OwnedFd, HelperError> {
        let request = HelperRequest { operation: HelperRequest::OPEN_SOCKET, ifindex: 0, attach_type: 0 };
        self.ask(request, &[namespace.as_fd()])
    }

    /// Attaches a program at the head of an interface's TCX chain, in the namespace. The program is detached when the
    /// link that is returned is closed.
    ///
    /// # Errors
    ///
    /// There is no such interface, the kernel refuses, or the helper has ended.
    pub fn attach(
        &self,
        namespace: &NetworkNamespace,
        program: BorrowedFd<'_>,
        ifindex: u32,
        attach_type: u32,
    ) -> Result<OwnedFd, HelperError> {
        let request = HelperRequest { operation: HelperRequest::ATTACH, ifindex, attach_type };
        self.ask(request, &[namespace.as_fd(), program])
    }

    fn ask(&self, request: HelperRequest, descriptors: &[BorrowedFd<'_>]) -> Result<OwnedFd, HelperError> {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        message::send(&socket.as_raw_fd(), &request, descriptors).map_err(HelperError::Silent)?;
        let answer = message::receive::<HelperAnswer>(&socket.as_raw_fd()).map_err(HelperError::Silent)?;
        let ended = || HelperError::Silent(io::ErrorKind::UnexpectedEof.into());
        let (HelperAnswer { errno }, mut descriptors) = answer.ok_or_else(ended)?;
        if errno != 0 {
            return Err(HelperError::Refused(io::Error::from_raw_os_error(errno)));
        }
        descriptors.pop().ok_or_else(ended)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
