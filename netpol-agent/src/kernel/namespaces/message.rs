//! The messages between the agent and its helper process: a few bytes and file descriptors, over a socket pair.

use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
};

use bytemuck::{Pod, Zeroable};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

/// The most descriptors in a message.
const MAX_DESCRIPTORS: usize = 2;

/// What the helper is asked for. The first descriptor of the message is the namespace.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub(super) struct HelperRequest {
    /// One of the constants below.
    pub(super) operation: u32,
    /// The interface to attach to; otherwise 0.
    pub(super) ifindex: u32,
    /// The kernel's attach type (`enum bpf_attach_type`); otherwise 0.
    pub(super) attach_type: u32,
}

impl HelperRequest {
    /// Open a netlink socket for routing messages in the namespace. The answer has its descriptor.
    pub(super) const OPEN_SOCKET: u32 = 1;
    /// Attach the program of the second descriptor to an interface. The answer has the descriptor of the link.
    pub(super) const ATTACH: u32 = 2;
}

/// What the helper answers.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub(super) struct HelperAnswer {
    /// The error's number (errno); 0 if the message has a descriptor.
    pub(super) errno: i32,
}

/// Sends a message.
///
/// # Errors
///
/// The other side has ended, or does not read.
pub(super) fn send(
    socket: &impl AsRawFd,
    message: &impl Pod,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let control = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { &[][..] } else { &control };
    let bytes = [IoSlice::new(bytemuck::bytes_of(message))];
    sendmsg::<()>(socket.as_raw_fd(), &bytes, control, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}

/// Receives a message; `None` if the other side has ended.
///
/// # Errors
///
/// No message came in time, or it has another length.
pub(super) fn receive<T: Pod>(socket: &impl AsRawFd) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut message = T::zeroed();
    let mut control = nix::cmsg_space!([RawFd; MAX_DESCRIPTORS]);
    let mut bytes = [IoSliceMut::new(bytemuck::bytes_of_mut(&mut message))];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let received = recvmsg::<()>(socket.as_raw_fd(), &mut bytes, Some(&mut control), flags)?;
    let length = received.bytes;
    let mut descriptors = Vec::new();
    for message in received.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = message {
            // SAFETY: the kernel has just made these descriptors for this process, and nothing else owns them.
            descriptors.extend(raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    match length {
        0 => Ok(None),
        length if length == size_of::<T>() => Ok(Some((message, descriptors))),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
