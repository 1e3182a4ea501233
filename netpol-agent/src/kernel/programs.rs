//! Attaching the TC programs to the pod interfaces.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
};

use aya::{
    Ebpf,
    programs::{
        LinkOrder, ProgramError, SchedClassifier, TcAttachType,
        tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle},
    },
};
use nix::net::if_::if_indextoname;
use thiserror::Error;

use super::{Helper, HelperError, Hook, Hooks, LoadError, Side, error::refused};

/// Names of the programs in the object.
pub(super) const DROP_PROGRAM: &str = "netpol_kfree_skb";
const FROM_POD: &str = "netpol_from_pod";
const TO_POD: &str = "netpol_to_pod";
const EXIT: &str = "netpol_exit";

/// Attach types of TCX (`enum bpf_attach_type`, include/uapi/linux/bpf.h).
const TCX_INGRESS: u32 = 46;
const TCX_EGRESS: u32 = 47;

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
    #[error("cannot attach to {interface}: {reason}")]
    Refused {
        /// The interface's name; its index, if it is in a pod.
        interface: String,
        /// The kernel's error.
        reason: String,
    },
}

/// An attached program. It is detached when this is dropped.
enum Link {
    /// In the node's namespace.
    Here { _link: SchedClassifierLink },
    /// In a pod's namespace.
    Inside { _link: OwnedFd },
}

/// The two TC programs, and the interfaces that they are attached to.
pub struct Programs {
    ebpf: Ebpf,
    mode: AttachMode,
    helper: Option<Arc<Helper>>,
    links: HashMap<u32, [Link; 2]>,
    /// The links at the interfaces through which packets leave the node.
    exits: HashMap<u32, Link>,
}

impl Programs {
    pub(super) fn new(mut ebpf: Ebpf, mode: Option<AttachMode>) -> Result<Self, LoadError> {
        for name in [FROM_POD, TO_POD, EXIT] {
            classifier(&mut ebpf, name)?.load().map_err(refused)?;
        }
        let mode =
            mode.unwrap_or(if super::preflight::has_tcx() { AttachMode::Tcx } else { AttachMode::Clsact });
        Ok(Self { ebpf, mode, helper: None, links: HashMap::new(), exits: HashMap::new() })
    }

    /// Sets the helper process, which attaches programs in pods' namespaces.
    pub fn set_helper(&mut self, helper: Arc<Helper>) {
        self.helper = Some(helper);
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

    /// Attaches both programs to an interface; does nothing if they are attached already. `number` identifies the
    /// interface later.
    ///
    /// # Errors
    ///
    /// The interface was removed, or the kernel refuses.
    pub fn attach(&mut self, number: u32, hooks: &Hooks) -> Result<(), AttachError> {
        if self.is_attached(number) {
            return Ok(());
        }
        let links = [
            self.attach_at(FROM_POD, &hooks.from_pod, number)?,
            self.attach_at(TO_POD, &hooks.to_pod, number)?,
        ];
        self.links.insert(number, links);
        Ok(())
    }

    /// Attaches the program for packets that leave the node to exactly these interfaces.
    ///
    /// # Errors
    ///
    /// The kernel refuses for one of them; the others have the program.
    pub fn attach_exits(&mut self, ifindexes: &[u32]) -> Result<(), AttachError> {
        self.exits.retain(|ifindex, _| ifindexes.contains(ifindex));
        let mut result = Ok(());
        for &ifindex in ifindexes {
            if self.exits.contains_key(&ifindex) {
                continue;
            }
            let hook = Hook { namespace: None, ifindex, side: Side::Egress };
            match self.attach_here(EXIT, &hook, ifindex) {
                Ok(link) => {
                    self.exits.insert(ifindex, link);
                }
                // It has been removed, which will be reported.
                Err(AttachError::Gone(_)) => {}
                Err(error) => result = Err(error),
            }
        }
        result
    }

    fn attach_at(&mut self, program: &str, hook: &Hook, number: u32) -> Result<Link, AttachError> {
        match &hook.namespace {
            None => self.attach_here(program, hook, number),
            Some(_) => self.attach_inside(program, hook, number),
        }
    }

    /// Attaches a program to an interface of the node's namespace, whatever its current name.
    fn attach_here(&mut self, program: &str, hook: &Hook, number: u32) -> Result<Link, AttachError> {
        let side = match hook.side {
            Side::Ingress => TcAttachType::Ingress,
            Side::Egress => TcAttachType::Egress,
        };
        for _ in 0..RENAMED_TRIES {
            let name = if_indextoname(hook.ifindex).map_err(|_| AttachError::Gone(number))?;
            let name = name.to_string_lossy();
            match self.attach_one(program, side, &name) {
                Ok(link) => return Ok(Link::Here { _link: link }),
                Err(error) if is_gone(&error) => {}
                Err(error) => {
                    let reason = format!("{:#}", anyhow::Error::from(error));
                    return Err(AttachError::Refused { interface: name.into_owned(), reason });
                }
            }
        }
        Err(AttachError::Gone(number))
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

    fn attach_inside(&mut self, program: &str, hook: &Hook, number: u32) -> Result<Link, AttachError> {
        let refused = |reason: String| AttachError::Refused {
            interface: format!("the interface with index {} of a pod", hook.ifindex),
            reason,
        };
        let (Some(helper), Some(namespace)) = (&self.helper, &hook.namespace) else {
            return Err(refused("there is no helper process".to_owned()));
        };
        let attach_type = match hook.side {
            Side::Ingress => TCX_INGRESS,
            Side::Egress => TCX_EGRESS,
        };
        let classifier = classifier(&mut self.ebpf, program).map_err(|error| refused(error.to_string()))?;
        let program = classifier.fd().map_err(|error| refused(error.to_string()))?;
        match helper.attach(namespace, program.as_fd(), hook.ifindex, attach_type) {
            Ok(link) => Ok(Link::Inside { _link: link }),
            Err(HelperError::Refused(error)) if error.raw_os_error() == Some(nix::libc::ENODEV) => {
                Err(AttachError::Gone(number))
            }
            Err(error) => Err(refused(error.to_string())),
        }
    }

    /// Forgets a removed interface; the kernel has detached the programs already.
    pub fn forget(&mut self, ifindex: u32) {
        // Dropping the links tries to detach them. This fails for a removed interface, and the error is ignored.
        self.links.remove(&ifindex);
    }

    /// Detaches from all interfaces.
    pub fn detach_all(&mut self) {
        self.links.clear();
        self.exits.clear();
    }
}

fn classifier<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut SchedClassifier, LoadError> {
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
