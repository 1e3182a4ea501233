//! Attaching the TC programs to the pod interfaces.

use std::{collections::HashMap, io};

use aya::{
    Ebpf,
    programs::{
        LinkOrder, ProgramError, SchedClassifier, TcAttachType,
        tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle},
    },
};
use nix::net::if_::if_indextoname;
use thiserror::Error;

use super::{LoadError, error::refused};

/// Names of the programs in the object.
pub(super) const DROP_PROGRAM: &str = "netpol_kfree_skb";
const FROM_POD: &str = "netpol_from_pod";
const TO_POD: &str = "netpol_to_pod";

/// Priority of the clsact filters: the lowest number runs first.
const FILTER_PRIORITY: u16 = 1;

/// How often to try to attach: a CNI plugin may rename an interface between the lookup of its name and the attachment
/// by that name.
const RENAMED_TRIES: usize = 3;

/// How a program is attached to an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachMode {
    /// At the head of the TCX chain (Linux 6.6). The link goes with the process, however it ends.
    Tcx,
    /// As a clsact filter of the highest priority. If the process is killed its filters stay; the next agent removes
    /// them.
    Clsact,
}

/// Why the programs could not be attached to an interface.
#[derive(Debug, Error)]
pub enum AttachError {
    /// The interface was removed; its pod has probably ended.
    #[error("the interface with index {0} is gone")]
    Gone(u32),
    /// The kernel refused to attach a program.
    #[error("cannot attach to interface {interface}: {reason}")]
    Refused {
        /// The interface's name.
        interface: String,
        /// The kernel's error.
        reason: String,
    },
}

/// The two TC programs, and the interfaces that they are attached to.
pub struct Programs {
    ebpf: Ebpf,
    mode: AttachMode,
    links: HashMap<u32, [SchedClassifierLink; 2]>,
}

impl Programs {
    pub(super) fn new(mut ebpf: Ebpf, mode: Option<AttachMode>) -> Result<Self, LoadError> {
        for name in [FROM_POD, TO_POD] {
            classifier(&mut ebpf, name)?.load().map_err(refused)?;
        }
        let mode =
            mode.unwrap_or(if super::preflight::has_tcx() { AttachMode::Tcx } else { AttachMode::Clsact });
        Ok(Self { ebpf, mode, links: HashMap::new() })
    }

    /// How programs are attached.
    #[must_use]
    pub fn mode(&self) -> AttachMode {
        self.mode
    }

    /// The number of interfaces that have the programs.
    #[must_use]
    pub fn attached(&self) -> usize {
        self.links.len()
    }

    /// Whether an interface has the programs.
    #[must_use]
    pub fn is_attached(&self, ifindex: u32) -> bool {
        self.links.contains_key(&ifindex)
    }

    /// Attaches both programs to an interface, whatever its current name; does nothing if they are attached already.
    ///
    /// # Errors
    ///
    /// The interface was removed, or the kernel refuses.
    pub fn attach(&mut self, ifindex: u32) -> Result<(), AttachError> {
        if self.is_attached(ifindex) {
            return Ok(());
        }
        for _ in 0..RENAMED_TRIES {
            let name = if_indextoname(ifindex).map_err(|_| AttachError::Gone(ifindex))?;
            let name = name.to_string_lossy();
            let attached = [(FROM_POD, TcAttachType::Ingress), (TO_POD, TcAttachType::Egress)]
                .map(|(program, side)| self.attach_one(program, side, &name));
            match attached {
                [Ok(from_pod), Ok(to_pod)] => {
                    self.links.insert(ifindex, [from_pod, to_pod]);
                    return Ok(());
                }
                [Err(error), _] | [_, Err(error)] if is_gone(&error) => {}
                [Err(error), _] | [_, Err(error)] => {
                    let reason = format!("{:#}", anyhow::Error::from(error));
                    return Err(AttachError::Refused { interface: name.into_owned(), reason });
                }
            }
        }
        Err(AttachError::Gone(ifindex))
    }

    fn attach_one(
        &mut self,
        program: &str,
        side: TcAttachType,
        interface: &str,
    ) -> Result<SchedClassifierLink, ProgramError> {
        let options = match self.mode {
            AttachMode::Tcx => TcAttachOptions::TcxOrder(LinkOrder::first()),
            AttachMode::Clsact => {
                prepare_clsact(program, side, interface)?;
                TcAttachOptions::Netlink(NlOptions {
                    priority: FILTER_PRIORITY,
                    handle: TcHandle::AUTO_ASSIGN,
                    classid: None,
                })
            }
        };
        let classifier: &mut SchedClassifier =
            self.ebpf.program_mut(program).ok_or(ProgramError::NotLoaded)?.try_into()?;
        let link = classifier.attach_with_options(interface, side, options)?;
        classifier.take_link(link)
    }

    /// Forgets a removed interface; the kernel has detached the programs already.
    pub fn forget(&mut self, ifindex: u32) {
        // Dropping the links tries to detach them. This fails for a removed interface, and the error is ignored.
        self.links.remove(&ifindex);
    }

    /// Detaches from all interfaces.
    pub fn detach_all(&mut self) {
        self.links.clear();
    }
}

fn classifier<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut SchedClassifier, LoadError> {
    ebpf.program_mut(name).ok_or(LoadError::Incomplete("TC program"))?.try_into().map_err(refused)
}

/// Makes sure that there is a clsact qdisc, and removes the filter that a killed agent left.
fn prepare_clsact(program: &str, side: TcAttachType, interface: &str) -> Result<(), ProgramError> {
    match tc::qdisc_add_clsact(interface) {
        Ok(()) => {}
        // There is one already. It stays when the agent ends, because others may use it.
        Err(TcError::AlreadyAttached) => {}
        Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(nix::libc::EEXIST) => {}
        Err(error) => return Err(error.into()),
    }
    match tc::qdisc_detach_program(interface, side, program) {
        Err(TcError::IoError(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(()),
    }
}

/// Whether the error says that there is no such interface (`ENODEV`).
fn is_gone(error: &ProgramError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        let io = current.downcast_ref::<io::Error>();
        if io.and_then(io::Error::raw_os_error) == Some(nix::libc::ENODEV) {
            return true;
        }
        cause = current.source();
    }
    false
}
