//! The helper process: it enters namespaces for the agent, and ends with it.

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

use caps::{CapSet, Capability};
use nix::{
    errno::Errno,
    libc,
    sched::{CloneFlags, setns},
    sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket},
};

use super::message::{self, HelperAnswer, HelperRequest};

/// All that the helper needs: to enter namespaces, and to attach programs there.
const CAPABILITIES: [Capability; 3] =
    [Capability::CAP_SYS_ADMIN, Capability::CAP_NET_ADMIN, Capability::CAP_BPF];

/// `BPF_LINK_CREATE` (`enum bpf_cmd`, include/uapi/linux/bpf.h).
const LINK_CREATE: libc::c_int = 28;

/// `BPF_F_BEFORE` without another program: at the head of the chain.
const FIRST: u32 = 1 << 3;

/// The start of `union bpf_attr` for `BPF_LINK_CREATE` with TCX (Linux 6.6).
#[repr(C)]
struct LinkCreate {
    program: u32,
    ifindex: u32,
    attach_type: u32,
    flags: u32,
    relative: u32,
    padding: u32,
    expected_revision: u64,
}

/// Serves the agent at the other side of `socket` until it ends.
///
/// # Errors
///
/// The socket fails.
pub fn serve(socket: &BorrowedFd<'_>) -> io::Result<()> {
    give_up_capabilities();
    while let Some((request, descriptors)) = message::receive::<HelperRequest>(socket)? {
        match perform(request, &descriptors) {
            Ok(descriptor) => message::send(socket, &HelperAnswer { errno: 0 }, &[descriptor.as_fd()])?,
            Err(errno) => message::send(socket, &HelperAnswer { errno: errno as i32 }, &[])?,
        }
    }
    Ok(())
}

/// Keeps only what the helper needs. It fails for none that the process does not have.
fn give_up_capabilities() {
    for set in [CapSet::Effective, CapSet::Permitted] {
        let held = caps::read(None, CapSet::Permitted).unwrap_or_default();
        let kept = held.into_iter().filter(|capability| CAPABILITIES.contains(capability)).collect();
        // If this fails, the helper has more than it needs, and does no more with it.
        let _ = caps::set(None, set, &kept);
    }
}

fn perform(request: HelperRequest, descriptors: &[OwnedFd]) -> Result<OwnedFd, Errno> {
    let [namespace, others @ ..] = descriptors else { return Err(Errno::EBADF) };
    setns(namespace, CloneFlags::CLONE_NEWNET)?;
    match (request.operation, others) {
        (HelperRequest::OPEN_SOCKET, []) => socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            SockProtocol::NetlinkRoute,
        ),
        (HelperRequest::ATTACH, [program]) => attach(program.as_fd(), request),
        _ => Err(Errno::EINVAL),
    }
}

fn attach(program: BorrowedFd<'_>, request: HelperRequest) -> Result<OwnedFd, Errno> {
    let attributes = LinkCreate {
        program: program.as_raw_fd().cast_unsigned(),
        ifindex: request.ifindex,
        attach_type: request.attach_type,
        flags: FIRST,
        relative: 0,
        padding: 0,
        expected_revision: 0,
    };
    // SAFETY: the structure has the layout that the kernel expects, and its size is passed along.
    let link =
        unsafe { libc::syscall(libc::SYS_bpf, LINK_CREATE, &raw const attributes, size_of::<LinkCreate>()) };
    let link = i32::try_from(Errno::result(link)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just made this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(link) })
}
